"""Models as folders in the hub's layout: recipe, weights, tokenizer and a model card."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from grounding_core.config import ROLES, Recipe
from grounding_core.errors import CheckpointError, GroundingError
from grounding_core.hub import CARD, RECIPE
from grounding_core.model_card import model_card

if TYPE_CHECKING:
    from grounding_core.model import GroundingModel

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
"""Files of a folder that a recipe points at which are left out: the model's own weights replace them."""


def save_pretrained(
    model: GroundingModel,
    folder: str | Path,
    *,
    licence: str = "",
    datasets: Sequence[str] = (),
    report: str | Path | None = None,
) -> Path:
    """Write a model as a folder: ``recipe.yaml``, ``model.safetensors``, tokenizer, ``README.md``.

    Args:
        model: a composed model, with whatever weights it has now.
        folder: made if it is missing; files of these names are replaced.
        licence: of the weights, as the hub calls it, e.g. ``apache-2.0``.
        datasets: what it was trained on, as the hub calls them.
        report: a ``report.json`` of the benchmarks whose numbers the card shall show.

    Returns:
        The folder; `grounding_core.load` takes it.

    Raises:
        GroundingError: a file that the recipe points at is gone, or the report can't be read.
    """
    from grounding_core.checkpoint import save_weights

    root = Path(folder)
    recipe = model.plan.recipe
    content = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"checkpoint", "training"})
    card = model_card(recipe, licence=licence, datasets=datasets, report=report)
    root.mkdir(parents=True, exist_ok=True)
    for role in ROLES:
        if role in content:
            content[role] = _gathered(content[role], role, root)
    if select := content.get("sampling", {}).get("select"):
        # A selector is no part of the model's weights: it needs its own again.
        content["sampling"]["select"] = _gathered(select, "sampling.select", root, leave_out=())
    save_weights(model.state_dict(), root)
    text = yaml.safe_dump({**content, "checkpoint": "./"}, sort_keys=False, allow_unicode=True)
    (root / RECIPE).write_text(text, encoding="utf-8")
    (root / CARD).write_text(card, encoding="utf-8")
    return root


def _gathered(
    options: dict[str, Any], path: str, root: Path, leave_out: tuple[str, ...] = WEIGHTS
) -> dict[str, Any]:
    """A part's options with the files and folders that they point at copied into ``root``."""
    moved: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            value = _gathered(value, f"{path}.{name}", root, leave_out)
        elif isinstance(value, str) and Path(value).is_absolute():
            value = f"./{_copied(Path(value), f'{path}.{name}', root, leave_out)}"
        moved[name] = value
    return moved


def _copied(source: Path, option: str, root: Path, leave_out: tuple[str, ...]) -> str:
    """Copy what an option points at; returns where it lies below ``root``.

    Files of a folder with one of the endings ``leave_out`` are not copied.
    """
    if not source.exists():
        raise GroundingError(
            f"{option} points at {source}, which is gone.", "Put it back; it is saved along."
        )
    # The tokenizer lies at the top, where programs of the hub look for it.
    name = "" if option == "language_model.tokenizer" else option
    if source.is_file():
        target = root / name / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.resolve() != target.resolve():
            shutil.copyfile(source, target)
        return str(target.relative_to(root))
    (root / name).mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        own = file.name in (RECIPE, CARD) or file.suffix in leave_out or file.name.startswith(".")
        if file.is_file() and not own and file.resolve() != (root / name / file.name).resolve():
            shutil.copyfile(file, root / name / file.name)
    return name


def push_folder(folder: str | Path, repo: str, *, private: bool | None = None, message: str = "") -> str:
    """Upload a saved model to the hub, under the account that is logged in there.

    Args:
        folder: from `save_pretrained`.
        repo: ``owner/name``; made if it is missing.
        private: only for a repository that is made now; None: as the account is set.
        message: of the commit.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: the folder is no saved model, or the hub refuses or can't be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    root = Path(folder)
    missing = [name for name in (RECIPE, CARD, "model.safetensors") if not (root / name).is_file()]
    if missing:
        raise CheckpointError(f"{root} has no {missing[0]}.", "Write it with save_pretrained first.")
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo, folder_path=root, commit_message=message or f"Upload {Recipe.load(root).name}"
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{repo} can't be uploaded: {str(error).splitlines()[0]}",
            "Log in with `hf auth login` or HF_TOKEN, and check the name and the network.",
        ) from error
    return str(done.commit_url)
