"""The pipeline's contracts: encode once, ask many; explicit states; masks streamed at the video's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import prefer_seg, small_model

from grounding_core import Query, Video
from grounding_core.errors import QueryError
from grounding_core.markup import Marked
from grounding_core.model import Batch, GroundingModel
from grounding_core.types import GroundedText
from grounding_core.video import sample_indices


def clip(frames: int, height: int = 40, width: int = 56, seed: int = 0) -> Video:
    rng = np.random.default_rng(seed)
    return Video.open(rng.integers(0, 255, (frames, height, width, 3), dtype=np.uint8))


QUERIES = [Query("the cat"), Query("", "describe"), Query("what moves to the left of the red cat?", "ask")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GroundingModel:
    made = small_model(tmp_path_factory.mktemp("model"))
    prefer_seg(made)
    return made


def same(a: GroundedText, b: GroundedText) -> bool:
    return a == b and a.meta["markup"] == b.meta["markup"]


def test_questions_decoded_together_get_the_answers_they_get_alone(model: GroundingModel) -> None:
    context = model.encode(clip(9))
    together = model.ground(context, QUERIES)
    alone = [model.ground(context, query) for query in QUERIES]
    assert any(answer.tracks for answer in together)
    assert all(answer.meta["sampled_frames"] == sample_indices(9, 8) for answer in together)
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))


def test_texts_are_questions_in_a_sequence_too(model: GroundingModel) -> None:
    video, texts = clip(3), ("the red cat", "a dog")
    found = model.ground(video, [texts[0], Query(texts[1])])
    expected = model.ground(video, [Query(text) for text in texts])
    assert all(map(same, found, expected)) and len(found) == 2


def test_answers_can_be_watched_while_they_are_written(model: GroundingModel) -> None:
    context = model.encode(clip(9))
    told: dict[int, list[Marked]] = {}
    answers = model.ground(context, QUERIES, told=lambda row, marked: told.setdefault(row, []).append(marked))
    assert all(same(a, b) for a, b in zip(answers, model.ground(context, QUERIES), strict=True))
    for row, answer in enumerate(answers):
        last = told[row][-1]
        assert (last.text, last.spans) == (answer.text, answer.spans)
        assert len(told[row]) > 1
        assert answer.video is context.video


def test_a_context_is_not_changed_by_questions(model: GroundingModel) -> None:
    context = model.encode(clip(9))
    first = model.ground(context, QUERIES[2])
    model.ground(context, QUERIES)
    assert context.prefix.cache.get_seq_length() == context.prefix.length
    assert same(first, model.ground(context, QUERIES[2]))


@torch.inference_mode()
def test_states_come_from_the_cached_pass(model: GroundingModel) -> None:
    """One pass over prefix, prompt and answer, without a cache, gives the states that generation gave."""
    lm = model.language_model
    visual = model.visual_tokens([torch.from_numpy(clip(8).frames(range(8)))])
    head = lm.tokenize("<|user|>")
    prompt = lm.tokenize(model.question(QUERIES[2]))
    generation = lm.generate(lm.prefix([head, visual]), [prompt], max_new_tokens=6)
    ids = generation.ids[0]
    embed = lm.network.get_input_embeddings()
    whole = torch.cat(
        [embed(torch.tensor([head])), visual, embed(torch.tensor([[*prompt, *ids]]))],
        dim=1,
    )
    output = lm.network.get_decoder()(inputs_embeds=whole, use_cache=False).last_hidden_state[0]
    expected = output[len(head) + visual.shape[1] + len(prompt) - 1 :]
    assert generation.states[0].shape == expected.shape == (len(ids) + 1, expected.shape[1])
    torch.testing.assert_close(generation.states[0], expected, atol=1e-4, rtol=1e-4)
    predicted = lm.network.lm_head(generation.states[0][:-1]).argmax(-1).tolist()
    assert predicted == ids


def test_the_recipe_says_which_state_a_seg_token_reads(tmp_path: Path) -> None:
    prompts = {}
    for state in ("predicting", "consuming"):
        model = small_model(tmp_path, f"seg.state={state}")
        prefer_seg(model)
        seen = []
        model.prompt_adapter.register_forward_hook(
            lambda module, args, output, seen=seen: seen.append(args[0])
        )
        context = model.encode(clip(8))
        model.ground(context, QUERIES[0])
        generation = model.language_model.generate(
            context.prefix, [model.language_model.tokenize(model.question(QUERIES[0]))], max_new_tokens=10
        )
        place = generation.ids[0].index(model.seg_id) + (state == "consuming")
        torch.testing.assert_close(seen[0][0], generation.states[0][place])
        prompts[state] = seen[0][0]
    assert not torch.allclose(prompts["predicting"], prompts["consuming"])


@pytest.mark.parametrize("norm", ["before", "after"])
def test_states_are_taken_before_or_after_the_final_norm(tmp_path: Path, norm: str) -> None:
    model = small_model(tmp_path, f"seg.norm={norm}")
    lm = model.language_model
    with torch.no_grad():
        lm.network.get_decoder().norm.weight.mul_(3)
    context = model.encode(clip(8))
    states = lm.generate(context.prefix, [lm.tokenize("cat")], max_new_tokens=3).states[0]
    with torch.no_grad():
        normed = lm.network.get_decoder().norm(states) if norm == "before" else states
        chosen = lm.network.lm_head(normed[:-1]).argmax(-1).tolist()
    assert chosen == lm.generate(context.prefix, [lm.tokenize("cat")], max_new_tokens=3).ids[0]
    assert states[0].norm() > 0


def test_no_seg_token_means_no_tracks(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    with torch.no_grad():
        model.language_model.network.lm_head.weight[model.seg_id] = 0
        model.language_model.network.lm_head.weight[5] += 1
    answer = model.ground(clip(8), "the cat")
    assert answer.tracks == ()
    assert answer.meta["markup"].count("[SEG]") == 0


@pytest.mark.parametrize("shape", [(1, 40, 56), (3, 4, 4), (17, 33, 90)])
def test_masks_have_one_entry_a_frame_at_the_videos_own_size(
    model: GroundingModel, shape: tuple[int, ...]
) -> None:
    answer = model.ground(clip(*shape), "the cat")
    assert answer.tracks
    for track in answer.tracks:
        assert (len(track), track.size) == (shape[0], shape[1:])


@pytest.mark.parametrize("mode", ["framewise", "memory"])
def test_objects_do_not_disturb_each_other(tmp_path: Path, mode: str) -> None:
    decoder = small_model(tmp_path, f"mask_decoder.mode={mode}").mask_decoder
    prompts = torch.randn(3, 1, 128)
    video = clip(6)
    with torch.inference_mode():
        together = torch.stack(list(decoder.track(decoder.open(video), prompts)))
        for k in range(3):
            alone = torch.stack(list(decoder.track(decoder.open(video), prompts[k : k + 1])))
            torch.testing.assert_close(together[:, k : k + 1], alone, atol=2e-3, rtol=1e-3)
    assert together.shape == (6, 3, 40, 56)


@pytest.mark.parametrize("mode", ["framewise", "memory"])
def test_features_beyond_the_budget_are_computed_again(tmp_path: Path, mode: str) -> None:
    video, prompts = clip(9), torch.randn(2, 1, 128)
    results, kept = [], []
    for budget in (0, 2048):
        options = (f"mask_decoder.mode={mode}", f"mask_decoder.budget_mb={budget}", "mask_decoder.batch=4")
        decoder = small_model(tmp_path, *options).mask_decoder
        scene = decoder.open(video)
        with torch.inference_mode():
            first = torch.stack(list(decoder.track(scene, prompts)))
            again = torch.stack(list(decoder.track(scene, prompts)))
        torch.testing.assert_close(first, again)
        results.append(first)
        kept.append(sum(len(batch) for batch in scene.kept))
    torch.testing.assert_close(*results)
    assert kept == [0, 9]


def test_an_abandoned_track_leaves_a_usable_scene(model: GroundingModel) -> None:
    decoder = model.mask_decoder
    scene = decoder.open(clip(40))
    prompts = torch.randn(1, 1, 128)
    with torch.inference_mode():
        started = decoder.track(scene, prompts)
        next(started)
        started.close()
        assert len(list(decoder.track(scene, prompts))) == 40


def test_history_changes_what_the_model_reads(tmp_path: Path) -> None:
    untaught = small_model(tmp_path)
    model = small_model(tmp_path, "prompts.turn='<|end|><|assistant|>{answer}<|end|><|user|>'")
    context = model.encode(clip(8))
    turn = (model.prompts.question("refer", "the cat"), "It is [SEG].")
    asked = model.question(Query("the dog"), [turn])
    assert asked.index("the cat") < asked.index("It is [SEG].") < asked.index("the dog")
    assert isinstance(model.ground(context, Query("the dog"), history=[turn]), GroundedText)
    assert untaught.question(Query("the dog"), [turn]) == untaught.question(Query("the dog"))


def test_a_question_that_does_not_fit_says_so(model: GroundingModel) -> None:
    with pytest.raises(QueryError, match=r"10000 characters.*too long"):
        model.ground(clip(8), "x!" * 5000)
    with pytest.raises(QueryError, match="empty"):
        model.ground(clip(8), "   ")


def test_no_queries_no_answers(model: GroundingModel) -> None:
    assert model.ground(model.encode(clip(8)), []) == []


def test_each_branch_can_stand_alone(tmp_path: Path) -> None:
    both = small_model(tmp_path)
    for branch, other in (("image", "video"), ("video", "image")):
        model = small_model(tmp_path, f"{other}_encoder=null", f"{other}_adapter=null")
        assert getattr(model, f"{other}_encoder") is None
        tokens = model.visual_tokens([torch.zeros(8, 32, 32, 3, dtype=torch.uint8)])
        assert tokens.shape[1] == both.plan.visual_tokens[branch]
        assert isinstance(model.ground(clip(8), "the cat"), GroundedText)


def test_a_single_image_may_go_through_the_image_branch_alone(tmp_path: Path) -> None:
    model = small_model(tmp_path, "sampling.single_image=image_branch", "image_adapter.pool_images=false")
    context = model.encode(clip(1))
    head = len(model.language_model.tokenize("<|user|>"))
    assert context.prefix.length == head + 256  # the unpooled 16 x 16 grid of one frame
    assert isinstance(model.ground(context, "the cat"), GroundedText)


@pytest.mark.parametrize("clips", [1, 0])
@pytest.mark.parametrize(
    "prompts",
    [
        ("prompt_adapter.type=look_again",),
        ("prompt_adapter.type=multi_token", "mask_decoder.prompt_tokens=3"),
    ],
)
def test_prompts_of_more_than_a_state(tmp_path: Path, prompts: tuple[str, ...], clips: int) -> None:
    """Prompts that look at the video again, or of several tokens, answer and train."""
    model = small_model(tmp_path, *prompts)
    prefer_seg(model)
    assert model.ground(clip(8), "the cat").tracks
    frames = torch.from_numpy(clip(8).frames(range(8)))
    ids = torch.tensor([[*model.language_model.tokenize("the cat"), model.seg_id]])
    learned = torch.zeros_like(ids, dtype=torch.bool)
    learned[:, -1] = True
    out = model(
        Batch(
            clips=[frames] * clips,
            mask_frames=frames[None, :2],
            rows=torch.tensor([0]),
            ids=ids,
            lengths=torch.tensor([ids.shape[1]]),
            learned=learned,
            seg=torch.tensor([[0, ids.shape[1] - 2]]),
            masks=torch.zeros(1, 2, 40, 56),
        )
    )
    (out.masks.square().sum() + out.visible.square().sum()).backward()
    reached = [p.grad is not None and bool(p.grad.any()) for p in model.prompt_adapter.parameters()]
    assert any(reached)
    seen = model.image_adapter.project[0].weight.grad
    assert (seen is not None) == bool(clips)


def test_branches_added_place_by_place(tmp_path: Path) -> None:
    """A token is the sum of what both branches say of one place; frames seen together are averaged."""
    same = ("image_adapter.grid=[8,8]", "video_adapter.grid=[8,8]", "video_encoder.tubelet=2")
    model = small_model(tmp_path, *same, "sampling.fusion=add").eval()
    clip = torch.randint(0, 256, (8, 48, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        found = model.visual_tokens([clip])
        image = model.image_adapter(model.image_encoder([clip]))
        video = model.video_adapter(model.video_encoder([clip]))
    assert model.plan.visual_length == found.shape[1] == video.shape[1] == 4 * 64
    frames = image.unflatten(1, (8, 64))
    for time in range(4):
        expected = frames[:, 2 * time : 2 * time + 2].mean(1) + video.unflatten(1, (4, 64))[:, time]
        torch.testing.assert_close(found.unflatten(1, (4, 64))[:, time], expected)
