"""The recipe at the published sizes, its variants, and the language model's window."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grounding_videoglamm.phi3 import Phi3, Phi3Config
from grounding_videoglamm.standin import numbered_tokenizer

from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.errors import RecipeError

PUBLISHED = {
    "image_encoder": 303_507_456 - 12_596_224 - 2_048,  # CLIP ViT-L/14-336 but its last layer and norm
    "language_model": 3_821_079_552,  # Phi-3-mini-4k
    "mask_decoder": 224_430_130,  # SAM 2 hiera-large
    # Ours at the sizes of the reference: patches, positions, 39 of 40 blocks; we found no published number.
    "video_encoder": 986_975_872,
    "image_adapter": 1024 * 3072 + 3072 + 3072 * 3072 + 3072,
    "video_adapter": 1408 * 3072 + 3072 + 3072 * 3072 + 3072,
    "prompt_adapter": 3072 * 3072 + 3072 + 3072 * 256 + 256,
}


def test_published_sizes_without_weights(tmp_path: Path) -> None:
    numbered_tokenizer(tmp_path, 32064, special={32007: "<|end|>", 32011: "[SEG]"}, start=1, end=32000)
    recipe = Recipe.load("videoglamm", [f"language_model.tokenizer={tmp_path}"])
    planned = plan(recipe)
    assert planned.visual_tokens == {"image": 2304, "video": 1024}
    with torch.device("meta"):
        model = build_composed(planned, weights=False)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts == PUBLISHED


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("videoglamm-image", {"image": 2304}),
        ("videoglamm-video", {"video": 1024}),
        ("videoglamm-framewise", {"image": 2304, "video": 1024}),
        ("videoglamm-32-frames", {"image": 2048, "video": 512}),
    ],
)
def test_variants_fit_together(name: str, tokens: dict[str, int]) -> None:
    planned = plan(Recipe.load(name))
    assert planned.visual_tokens == tokens
    assert planned.specs["mask_decoder"].tracks == (name != "videoglamm-framewise")


def test_a_recipe_may_extend_another(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "name: base\nprompt_adapter: {type: mlp, a: 1}\nsampling: {frames: 4}\n"
    )
    child = tmp_path / "child.yaml"
    child.write_text("extends: ./base.yaml\nname: child\nprompt_adapter: {a: 2}\n")
    recipe = Recipe.load(child)
    assert recipe.prompt_adapter is not None and recipe.prompt_adapter.type == "mlp"
    assert recipe.prompt_adapter.options == {"a": 2}
    assert recipe.sampling is not None and recipe.sampling.frames == 4
    child.write_text("extends: ./child.yaml\nname: child\n")
    with pytest.raises(RecipeError, match="extends itself"):
        Recipe.load(child)


@pytest.mark.parametrize("window", [None, 5])
def test_questions_of_different_lengths_do_not_shift_the_window(tmp_path: Path, window: int | None) -> None:
    torch.manual_seed(0)
    numbered_tokenizer(tmp_path, 40, special={39: "[SEG]"}, end=2)
    options = {"width": 32, "mlp_width": 48, "layers": 3, "heads": 2, "context": 128, "vocabulary": 40}
    config = Phi3Config(tokenizer=str(tmp_path), sliding_window=window, init_std=0.3, **options)
    lm = Phi3(config, special_tokens=["[SEG]"], norm="after").eval()
    prefix = lm.prefix([[3, 4, 5], torch.randn(1, 9, 32)])
    questions = [[7], [8, 9, 10, 11, 12, 13, 14, 15], [16, 17, 18]]
    together = lm.generate(prefix, questions, max_new_tokens=7)
    for index, question in enumerate(questions):
        alone = lm.generate(prefix, [question], max_new_tokens=7)
        assert together.ids[index] == alone.ids[0]
        torch.testing.assert_close(together.states[index], alone.states[0], rtol=1e-4, atol=1e-5)
    # The cached answer is what one pass over the whole sequence gives.
    inputs = torch.randn(1, 9, 32)
    prefix = lm.prefix([[3, 4, 5], inputs])
    answer = lm.generate(prefix, [questions[1]], max_new_tokens=3)
    ids = [*questions[1], *answer.ids[0]]
    whole = lm.prefix([[3, 4, 5], inputs, ids])
    last = lm.generate(whole, [[7]], max_new_tokens=1)
    cached = lm.generate(prefix, [[*ids, 7]], max_new_tokens=1)
    torch.testing.assert_close(last.states[0][0], cached.states[0][0], rtol=1e-4, atol=1e-5)
