"""A language model with mimetic initial weights, and adapters that mark and place tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grounding_videoglamm.adapters import MlpPoolAdapter, MlpPoolConfig
from grounding_videoglamm.mimetic import mark_visual
from grounding_videoglamm.phi3 import Phi3, Phi3Config
from pydantic import ValidationError
from torch.nn import functional as F

from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.training.tokenizer import train_tokenizer

WORDS = ["red", "blue", "green", "white", "cat", "dog", "horse", "fish"]


def language_model(folder: Path, **changes: object) -> Phi3:
    special = ["<|end|>", "[SEG]"]
    train_tokenizer([" ".join(WORDS)] * 4, folder, vocabulary=400, special=special)
    config = Phi3Config.model_validate(
        {
            "tokenizer": str(folder), "vocabulary": 400, "width": 96, "mlp_width": 128, "layers": 2,
            "heads": 3, "context": 128, "sliding_window": None, "init_std": 0.1,
            "partial_rotary_factor": 0.25, **changes,
        }
    )  # fmt: skip
    torch.manual_seed(0)
    return Phi3(config, special_tokens=["[SEG]"], norm="after").eval()


@torch.inference_mode()
def found(model: Phi3) -> float:
    """How often the colour of an animal is the best among the colours in the video, without training."""
    table = model.embeddings()
    ids = {word: model.tokenize(f" {word}")[0] for word in WORDS}
    right = 0
    for shift in range(4):
        pairs = [(WORDS[i], WORDS[4 + (i + shift) % 4]) for i in range(4)]
        tokens = torch.stack([table[ids[a]] + table[ids[b]] for a, b in pairs])
        tokens = F.normalize(tokens, dim=1) * table.norm(dim=1).mean()
        mark_visual(tokens, float(table.norm(dim=1).mean()))
        prefix = model.prefix([tokens[None].repeat(1, 3, 1)])
        rows = torch.tensor([[ids[animal], 0] for _, animal in pairs])
        learned = torch.tensor([[False, True]] * 4)
        logits, _ = model.teach(prefix, torch.zeros(4, dtype=torch.long), rows, learned)
        colours = logits[:, [ids[word] for word in WORDS[:4]]]
        right += int((colours.argmax(1) == torch.arange(4)).sum())
    return right / 16


def test_words_are_looked_up_before_any_training(tmp_path: Path) -> None:
    assert found(language_model(tmp_path, init="mimetic")) >= 0.9
    assert found(language_model(tmp_path)) <= 0.6


def test_new_tokens_and_grouped_heads(tmp_path: Path) -> None:
    small = language_model(tmp_path, init="mimetic", vocabulary=300)
    assert len(small.embeddings()) >= 300 and torch.isfinite(small.embeddings()).all()
    with pytest.raises(ValidationError, match="as many key and value heads"):
        language_model(tmp_path, init="mimetic", kv_heads=1)


def test_places_tell_equal_features_apart() -> None:
    source = EncoderSpec(width=8, tokens=16, grid=(4, 4), stride=2)
    adapter = MlpPoolAdapter(MlpPoolConfig(grid=(2, 2), places=3), source=source, width=16)
    features = torch.randn(2, 1, 1, 8).expand(2, 3, 16, 8)
    tokens = adapter(features)
    assert tokens.shape == (2, 12, 16)
    apart = torch.cdist(tokens[0], tokens[0]) + torch.eye(12)
    assert (apart > 0.05).all()
    assert torch.allclose((tokens[0] - tokens[0, :1]), (tokens[1] - tokens[1, :1]), atol=1e-5)
    plain = MlpPoolAdapter(MlpPoolConfig(grid=(2, 2)), source=source, width=16)
    plain.project.load_state_dict(adapter.project.state_dict())
    grid = (tokens - plain(features))[0].view(3, 2, 2, 16)
    times, rows, columns = adapter.places
    assert torch.allclose(grid, times[:, None, None] + rows[:, None] + columns, atol=1e-5)
    longer = (adapter(features[:, :1].expand(2, 5, 16, 8)) - plain(features[:, :1].expand(2, 5, 16, 8)))[0]
    assert torch.allclose(longer.view(5, 2, 2, 16)[[0, 2, 4]], grid, atol=1e-5)
    assert adapter.num_tokens(adapter.config, source, 10) == 20
