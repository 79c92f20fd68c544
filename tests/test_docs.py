"""What README and docs show is run, or named here with the reason why not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]

NOT_RUN = {
    "pip install": "changes the environment; .ci/run does it in a fresh one",
    "git clone": "needs the network",
    "python -m benchmarks.run": "takes minutes; tests/benchmarks run it on small sets",
    "python -m benchmarks.score": "needs a run; tests/benchmarks score small ones",
    "python -m benchmarks.submission": "needs a run; tests/benchmarks/test_submission.py has one",
    "python -m benchmarks.compare": "needs two runs; tests/benchmarks/test_compare.py has them",
    "python -m benchmarks.curves": "needs a run; tests/benchmarks/test_curves.py draws one",
    "python -m benchmarks.ablation": "takes hours; tests/benchmarks/test_ablation.py runs a step",
    "grounding train": "takes hours; tests/test_train_cli.py runs a few steps",
    "grounding data prepare sprites --split train": "takes minutes; other splits are run",
    "accelerate launch": "needs several processes",
    "torchrun": "needs several processes; tests/benchmarks/test_engines.py launches two",
    "grounding check videoglamm-tiny --set prompt_adapter.type=linear": "run below with its plugin installed",
    "grounding plugin new": "tests/test_scaffold.py runs what it writes",
    "pytest grounding-my-decoder": "tests/test_scaffold.py runs it",
    "grounding recipe show videoglamm-tiny --set mask_decoder.type=my_decoder": "needs the plugin above",
    "grounding convert": "needs published weights; plugins/videoglamm/tests convert small ones",
    "python -m grounding_videoglamm.parity": "needs golden numbers; plugins/videoglamm/tests run it",
    "grounding check weights/recipe.yaml": "needs converted weights",
    "grounding demo": "runs until it is ended; plugins/demo/tests/test_page.py uses it",
    "grounding review": "runs until it is ended; plugins/demo/tests/test_review_page.py uses it",
    "python -m benchmarks.audit.training": "takes minutes; test_audit.py trains a step",
    "python -m benchmarks.review from-label-studio": "tests/benchmarks/test_review.py has annotations",
    "grounding serve": "runs until it is ended; plugins/demo/tests/test_api.py uses it",
    "curl ": "needs a server; plugins/demo/tests/test_api.py asks one",
    "grounding ground clip.mp4": "needs a clip of the reader's own",
}
GROUPS = ("data", "plugin", "recipe")
MODULE = {
    "grounding": [sys.executable, "-m", "grounding_core.cli"],
    "python": [sys.executable],
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    for block in blocks(page, "bash"):
        yield from (line for line in block.splitlines() if line.strip())


def parts(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def reason(line: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if line.startswith(start)), None)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    """In order, in one folder, as a reader would; ``# fails`` marks those that are meant to."""
    prepare = "grounding data prepare sprites --split val --videos 3 --out sprites-data"
    lines = [line for line in commands(page) if reason(line) is None]
    if prepare not in lines and any("sprites-data/vidstg" in line for line in lines):
        lines = [prepare, *lines]
    for line in lines:
        program, *arguments = parts(line)
        assert program in MODULE, f"{page.name}: {line!r} is neither run nor named in NOT_RUN"
        done = subprocess.run(
            [*MODULE[program], *arguments],
            cwd=tmp_path,
            input="/quit\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == ("# fails" in line), f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from grounding_core.cli import app

    for line in commands(page):
        if not line.startswith(("grounding ", "python -m benchmarks.run")):
            continue
        words = parts(line)
        name = ["bench"] if words[0] == "python" else words[1 : 3 if words[1] in GROUPS else 2]
        shown = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "120"}).output
        for option in (word for word in words if re.fullmatch("--[a-z-]+", word) and word != "--help"):
            assert option in shown, f"{page.name}: {line!r} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_parses(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}#{number}", "exec")


PYTHON_NOT_RUN = {
    "import numpy as np\nfrom grounding_core import": "the README's plugin; installed below",
    "import httpx": "needs a server; plugins/demo/tests/test_api.py asks one",
    "from grounding_core.hookspecs import Entry": "the plugin of the guide; installed below",
    "from grounding_core.interfaces.adapters": "the plugin of the guide; installed below",
    "from collections.abc import Sequence": "the encoder of the guide; tested below",
    "from grounding_core.testing import": "classes that every plugin here has in its tests",
    "from transformers import ViTConfig": "the encoder's test; run below",
    "from grounding_core.export import detections": "needs supervision; tests/test_export.py",
    "import fiftyone": "needs fiftyone and its database; tests/test_export.py has its importer",
    "model.push_to_hub": "needs a hub; tests/test_pretrained.py has one",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path) -> None:
    """All blocks of a page in order, in one program, beside the clips that they name."""
    chosen = [block for block in blocks(page, "python") if not block.startswith(tuple(PYTHON_NOT_RUN))]
    if not chosen:
        pytest.skip("has none to run")
    prepare = "data prepare sprites --split val --videos 3 --out sprites-data"
    subprocess.run([*MODULE["grounding"], *prepare.split()], cwd=tmp_path, check=True, capture_output=True)
    shutil.copy(tmp_path / "sprites-data/vidstg/video/val/val_00000.mp4", tmp_path / "clip.mp4")
    _film(tmp_path / "film.mp4")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(chosen)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _film(path: Path) -> None:
    """Long enough for a clip to be cut from it."""
    import numpy as np

    from grounding_core import GroundedText, Video
    from grounding_core.render import write_overlay

    write_overlay(Video.open(np.zeros((1820, 32, 32, 3), np.uint8), fps=25), GroundedText(""), path)


def install(project: Path, target: Path) -> None:
    options = "--quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --target"
    command = [sys.executable, "-m", "pip", "install", *options.split(), str(target), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def grounding(folder: Path, target: Path, *arguments: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(target)!r}); from grounding_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plugin_in_the_readme_works(tmp_path: Path) -> None:
    readme = PAGES[0]
    (source,) = (block for block in blocks(readme, "python") if "hookimpl" in block)
    (project,) = blocks(readme, "toml")
    (recipe,) = blocks(readme, "yaml")
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "everything.py").write_text(source)
    (tmp_path / "plugin" / "pyproject.toml").write_text(project)
    (tmp_path / "everything.yaml").write_text(recipe)
    install(tmp_path / "plugin", tmp_path / "site")
    assert "points at every pixel" in grounding(tmp_path, tmp_path / "site", "plugins")
    clip = _clip(tmp_path / "clip")
    shown = grounding(
        tmp_path, tmp_path / "site", "ground", str(clip), "the cat", "--recipe", "everything.yaml"
    )
    assert "This is everything" in shown
    assert "visible in 3 of 3 frames" in shown


def test_plugin_in_the_docs_fits_the_tiny_recipe(tmp_path: Path) -> None:
    page = REPOSITORY / "docs" / "plugins.md"
    entries, parts_, *_ = blocks(page, "python")
    (project,) = blocks(page, "toml")
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "hello.py").write_text(entries)
    (tmp_path / "plugin" / "hello_parts.py").write_text(parts_)
    (tmp_path / "plugin" / "pyproject.toml").write_text(project)
    install(tmp_path / "plugin", tmp_path / "site")
    shown = grounding(
        tmp_path, tmp_path / "site", "check", "videoglamm-tiny", "--set", "prompt_adapter.type=linear"
    )
    assert "linear" in shown


@pytest.mark.slow
def test_encoder_in_the_docs_conforms(tmp_path: Path) -> None:
    from grounding_core.scaffold import write_plugin

    _, _, encoder, tests, *_ = blocks(REPOSITORY / "docs" / "plugins.md", "python")
    project = write_plugin("vit", "image_encoder", tmp_path / "plugin")
    (project / "grounding_vit" / "component.py").write_text(encoder)
    (project / "tests" / "test_vit.py").write_text(tests)
    install(project, tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project / "tests")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _clip(folder: Path) -> Path:
    import numpy as np
    from PIL import Image

    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.full((24, 32, 3), 80 * index, np.uint8)).save(folder / f"{index}.png")
    return folder


def test_the_reference_has_every_field_and_kind_with_options() -> None:
    from pydantic import BaseModel

    from grounding_core.config import Recipe
    from grounding_core.plugins import registry
    from grounding_core.training.config import TrainConfig

    def models(annotation: object) -> Iterator[type[BaseModel]]:
        for inner in get_args(annotation) or (annotation,):
            if get_args(inner):
                yield from models(inner)
            elif isinstance(inner, type) and issubclass(inner, BaseModel):
                yield inner
                for field in inner.model_fields.values():
                    yield from models(field.annotation)

    page = (REPOSITORY / "docs" / "config.md").read_text()
    for model in {*models(Recipe), *models(TrainConfig)}:
        assert f"<!-- options: {model.__module__}:{model.__name__} -->" in page
        assert all(field.description for field in model.model_fields.values()), model
    (listed,) = (re.findall("<!-- all-options: (.*?) -->", page),)
    kinds = set(", ".join(listed).split(", "))
    for offer in registry().entries():
        kind, name = offer.entry.kind, offer.entry.name
        found = None if kind in ("recipe", "command") else registry().load(kind, name)
        if issubclass(config := getattr(found, "Config", object), BaseModel):
            assert kind in kinds, f"options of {kind} {name} are nowhere"
            assert all(field.description for field in config.model_fields.values()), config


def test_troubleshooting_quotes_what_the_code_says() -> None:
    sources = [*REPOSITORY.glob("grounding_core/**/*.py"), *REPOSITORY.glob("benchmarks/**/*.py")]
    sources += [*REPOSITORY.glob("plugins/*/grounding_*/**/*.py")]
    # Texts that are written over several lines, as one; what is filled in counts as a gap.
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in sources))
    code = re.sub(r"\{[^{}]*\}", "…", code)
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    quoted = re.findall(r"\*\*`([^`]+)`\*\*", page)
    assert len(quoted) > 20
    pieces = {piece.strip(" .,:;") for message in quoted for piece in message.split("…")}
    assert [words for words in sorted(pieces) if words not in code] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_names_what_there_is(page: Path, tmp_path: Path) -> None:
    """Fields, components and their options; what is no whole recipe is read on top of one."""
    import yaml
    from accelerate.commands.config.config_args import load_config_from_file

    from benchmarks.annotate.pipeline import AnnotateConfig
    from benchmarks.annotate.steps import STEPS, configured
    from grounding_core.config import Part, Recipe

    for number, block in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        data = yaml.safe_load(block)
        parts: list[tuple[str, Part]] = []
        if "distributed_type" in data:  # accelerate's
            path.write_text(block)
            assert load_config_from_file(str(path)).fsdp_config["fsdp_version"] == 2
        elif data.keys() <= AnnotateConfig.model_fields.keys():
            path.write_text(block)
            config = AnnotateConfig.load(path)
            parts = [(STEPS[step], getattr(config, step)) for step in STEPS if step in data]
        else:
            path.write_text(block if "name" in data else f"name: x\nextends: videoglamm-tiny\n{block}")
            recipe = Recipe.load(path)
            kinds = {"image_adapter": "vision_adapter", "video_adapter": "vision_adapter"}
            parts = [(kinds.get(role, role), part) for role, part in recipe.parts().items()]
            parts += [("model", recipe.model)] if recipe.model is not None else []
        for kind, part in parts:
            if part.type not in READERS_OWN:
                configured(kind, part, f"{page.name}: {kind}")  # type: ignore[arg-type]


READERS_OWN = ("my_model", "everything")
"""Components that a page tells how to write."""
