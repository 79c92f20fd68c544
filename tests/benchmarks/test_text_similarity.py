"""How phrases are compared: offline, and by BERT from a folder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import BertModel

from benchmarks.metrics.text_similarity import TokenF1, load_similarity
from benchmarks.tasks.gcg import GroundedCaptions
from grounding_core.errors import GroundingError


def test_token_f1() -> None:
    table = TokenF1().matrix(["the red cat", "a dog"], ["A red cat.", "cat", "bird"])
    np.testing.assert_allclose(table, [[1.0, 2 / 3, 0.0], [0.0, 0.0, 0.0]])


def test_bert_is_the_cosine_of_mean_pooled_states(bert: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    found = load_similarity(f"bert:{bert}").matrix(["a red cat", "dogs"], ["A Red Cat", "a dog", "cat"])
    assert found.shape == (2, 3)
    assert found[0, 0] == pytest.approx(1.0, abs=1e-6)
    tokenizer, model = AutoTokenizer.from_pretrained(bert), BertModel.from_pretrained(bert).eval()
    with torch.no_grad():
        means = [
            model(**tokenizer(phrase, return_tensors="pt")).last_hidden_state[0].mean(0)
            for phrase in ("dogs", "a dog")
        ]
    expected = torch.cosine_similarity(*means, dim=0)
    assert found[1, 1] == pytest.approx(float(expected), abs=1e-6)


def test_bert_without_phrases_loads_nothing() -> None:
    assert load_similarity("bert:nowhere").matrix([], ["a"]).shape == (0, 1)


def test_the_report_names_what_compared(bert: Path, tmp_path: Path) -> None:
    official = GroundedCaptions(tmp_path, f"bert:{bert}").protocol["text similarity"]
    assert official == f"bert ({bert})"
    offline = GroundedCaptions(tmp_path).protocol["text similarity"]
    assert offline == "token-f1; official: bert-base-uncased, cosine"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [("bart", "Did you mean 'bert'"), ("token-f1:x", "has no weights")],
)
def test_wrong_names(spec: str, problem: str) -> None:
    with pytest.raises(GroundingError, match=problem):
        load_similarity(spec)


def test_missing_weights_name_the_offline_choice(tmp_path: Path) -> None:
    with pytest.raises(GroundingError, match=r"bert \(.*\) can't be loaded.*--text-similarity token-f1"):
        load_similarity(f"bert:{tmp_path / 'absent'}").matrix(["a"], ["b"])


def test_torch_is_loaded_by_comparing_only() -> None:
    code = (
        "import sys\nfrom benchmarks.metrics.text_similarity import load_similarity\n"
        "load_similarity('bert')\nassert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
