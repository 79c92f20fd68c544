"""Fixtures of the benchmarks' tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import Harness
from model_server import Handler, Server
from official_layouts import write_official
from servers import listening


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that tests must not change."""
    return write_official(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """What the official evaluators printed."""
    return shared / "golden" / "metrics"


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "cat", "dog", "##s"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts an endpoint that does these things in turn."""
    with ExitStack() as servers:

        def start(*acts: Callable[[Handler], None]) -> Server:
            return servers.enter_context(listening(Server(*acts)))

        yield start
