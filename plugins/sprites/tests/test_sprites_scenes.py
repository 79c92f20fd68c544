"""Pixels: masks, colours, motions, and what is held out of training."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sprites.art import CATEGORIES, COLOURS, held_out, sprite, tint
from grounding_sprites.backgrounds import SEEN, UNSEEN, paint
from grounding_sprites.preview import sheet
from grounding_sprites.scene import FRAMES, SIZE
from grounding_sprites.story import tell


def saturation(colours: np.ndarray) -> np.ndarray:
    colours = colours.astype(float)
    return (colours.max(-1) - colours.min(-1)) / np.maximum(colours.max(-1), 1)


def hue(colour) -> float:
    return colorsys.rgb_to_hsv(*(float(channel) / 255 for channel in colour))[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_masks_are_disjoint_and_lie_on_their_things(stories, split):
    for story in stories(split):
        scene, rendered = story.facts.scene, story.facts.rendered
        assert rendered.frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert rendered.visible.sum(axis=0).max() == 1
        assert not (rendered.visible & ~rendered.whole).any()
        background = paint(scene.background, np.random.default_rng(scene.seed), SIZE).astype(int)
        difference = np.abs(rendered.frames.astype(int) - background).max(axis=-1)
        covered = rendered.visible.any(axis=0)
        assert (difference[covered] > 12).mean() > 0.97
        # beyond the masks only softened edges differ
        assert (difference[~covered] > 12).mean() < 0.05


def test_a_hidden_pixel_belongs_to_the_nearer_thing(stories):
    overlaps = 0
    for story in stories("train") + stories("test"):
        rendered, things = story.facts.rendered, story.facts.things
        for near in things:
            for far in (thing for thing in things if thing.z < near.z):
                both = rendered.whole[near.id] & rendered.whole[far.id]
                overlaps += int(both.sum())
                assert not (rendered.visible[far.id] & both).any()
    assert overlaps > 500


@pytest.mark.parametrize("colour", COLOURS)
def test_every_sprite_shows_its_colour(colour):
    for category in CATEGORIES:
        pixels = np.asarray(sprite(category, colour).levels[1].convert("RGBA")).reshape(-1, 4)
        body = pixels[(pixels[:, 3] > 250) & (pixels[:, :3].max(axis=1) > 110)][:, :3]
        middle = np.median(body, axis=0)
        if colour == "white":
            assert saturation(middle) < 0.05 and middle.min() > 180, category
            continue
        hues = {name: hue(rgb) for name, rgb in COLOURS.items() if name != "white"}
        away = {name: abs((other - hue(middle) + 0.5) % 1 - 0.5) for name, other in hues.items()}
        assert min(away, key=away.get) == colour and away[colour] < 0.03, category
        assert saturation(middle) > 0.35, category


def test_tinting_keeps_outlines_dark_and_transparency():
    art = np.zeros((2, 2, 4), dtype=np.uint8)
    art[0] = [[0, 0, 0, 255], [200, 200, 200, 255]]
    tinted = tint(art, "red")
    assert tinted[0, 0, :3].max() < 60 and tinted[0, 1, 0] > 180
    assert (tinted[1, :, 3] == 0).all()


@pytest.mark.parametrize("family", [*SEEN, *UNSEEN])
def test_backgrounds_are_muted_and_textured(family):
    picture = paint(family, np.random.default_rng(3), SIZE)
    assert picture.shape == (SIZE, SIZE, 3)
    assert np.median(saturation(picture)) < 0.25
    assert picture.std() > 3


def test_training_never_shows_what_is_held_out(stories):
    assert all(sum(held_out(category, colour) for colour in COLOURS) == 1 for category in CATEGORIES)
    for split in ("train", "val"):
        for story in stories(split):
            assert story.facts.scene.background in SEEN
            assert not any(held_out(thing.category, thing.colour) for thing in story.facts.things)
            assert {e["combination"] for e in map(story.tags, story.expressions)} == {"seen"}
    tags = [story.tags(e) for story in stories("test") for e in story.expressions]
    for key in ("combination", "background"):
        assert {tag[key] for tag in tags} == {"seen", "unseen"}


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**40), split=st.sampled_from(["train", "val", "test"]), index=st.integers(0, 5000)
)
def test_any_seed_tells_the_same_complete_story_twice(seed, split, index):
    story, again = tell(seed, split, index), tell(seed, split, index)
    assert [e.text for e in story.expressions] == [e.text for e in again.expressions]
    assert np.array_equal(story.facts.rendered.visible, again.facts.rendered.visible)
    assert 3 <= len(story.facts.things) <= 5
    assert sum(e.form == "refer" for e in story.expressions) >= 6
    assert [e.form for e in story.statements] == ["locate", "locate", "ask", "ask"]
    for thing in story.facts.things:
        seen = story.facts.areas[thing.id] > 0
        present = np.array([pose is not None for pose in thing.poses])
        assert not (seen & ~present).any()
        assert seen[present].mean() > 0.7


def test_motions_are_plain_to_see(stories):
    motions = set()
    for story in stories("train") + stories("test"):
        whole = story.facts.rendered.whole
        for thing in story.facts.things:
            motions.add(thing.motion)
            first, last = whole[thing.id, 0], whole[thing.id, -1]
            if thing.motion in ("left", "right", "up", "down"):
                shift = np.argwhere(last).mean(axis=0) - np.argwhere(first).mean(axis=0)
                axis, sign = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}[thing.motion]
                assert shift[axis] * sign > 28 and abs(shift[1 - axis]) < 4
            elif thing.motion in ("grow", "shrink"):
                ratio = last.sum() / first.sum()
                assert (ratio if thing.motion == "grow" else 1 / ratio) > 1.6**2 * 0.9
            elif thing.motion == "stay":
                assert (first == last).all()
            elif thing.motion == "turn":
                assert (first & last).sum() < 0.95 * first.sum()
            else:
                absent, there = (first, last) if thing.motion == "enter" else (last, first)
                assert not absent.any() and there.any()
    assert len(motions) == 10


def test_a_contact_sheet_shows_its_stories(stories):
    two = stories("test")[:2]
    picture = np.asarray(sheet(two))
    assert picture.shape[1] > 5 * SIZE and picture.shape[0] > 2 * SIZE
    assert np.array_equal(picture[:SIZE, :SIZE], two[0].facts.rendered.frames[0])
