"""Recipes: a YAML file that names components and checkpoints, and so is a model. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from grounding_core.errors import RecipeError
from grounding_core.hookspecs import Kind
from grounding_core.hub import RECIPE, fetch_model, is_hub_id
from grounding_core.training.config import TrainConfig

ROLES: dict[str, Kind] = {
    "image_encoder": "image_encoder",
    "video_encoder": "video_encoder",
    "image_adapter": "vision_adapter",
    "video_adapter": "vision_adapter",
    "language_model": "language_model",
    "prompt_adapter": "prompt_adapter",
    "mask_decoder": "mask_decoder",
}
"""Part of a recipe -> kind of component that fills it."""

QUESTION = "{question}"
VISUAL = "{visual}"
TEXT = "{text}"
NAME = "{name}"


Floats = Literal["fp32", "bf16", "fp16"]
QUANTISED = ("int8", "nf4")
"""Precisions that only a language model can have."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(BaseModel):
    """A component by name; every further key is one of its own options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str = Field(description="Name of an installed component; `grounding plugins` lists them.")
    precision: Floats | Literal["int8", "nf4"] | None = Field(
        default=None,
        description="Number type of this part's weights; null: the recipe's. int8 and nf4 (8 and 4 bits, by "
        "bitsandbytes) are for the language model.",
    )

    @property
    def options(self) -> dict[str, Any]:
        """The component's own options."""
        return dict(self.__pydantic_extra__ or {})


class Sampling(_Strict):
    """How many frames the encoders see, and what a single image is."""

    frames: int = Field(
        ge=1,
        description="Frames given to both encoders, evenly spread; a shorter video repeats its last frame.",
    )
    single_image: Literal["as_video", "image_branch"] = Field(
        default="as_video",
        description="A video of one frame: repeated as any short video is, or the image branch alone.",
    )
    select: Part | None = Field(
        default=None, description="A frame selector that chooses the frames; null: evenly spread."
    )
    fusion: Literal["concat", "add"] = Field(
        default="concat",
        description="How the tokens of both branches meet: all of the image branch, then all of the video "
        "branch, as VideoGLaMM has them; or added place by place, which binds what a thing is to what it "
        "does.",
    )


class Seg(_Strict):
    """Which state of the language model is a mask prompt: facts of the checkpoint, without defaults."""

    token: str = Field(description="The token that asks for a mask, e.g. [SEG].")
    state: Literal["predicting", "consuming"] = Field(
        description="The state that predicts the token, or the one after reading it."
    )
    norm: Literal["before", "after"] = Field(description="Taken before or after the final norm.")


class Prompts(_Strict):
    """The words around a question: one template per query kind, and the order of the parts."""

    layout: str = Field(
        description="System text, {visual} and {question} in the order the model was trained with."
    )
    turn: str = Field(
        default="",
        description="Between two turns of a conversation: {answer}, then the start of the next question. "
        "Empty: the model was never taught conversations, so it does not read earlier turns.",
    )
    describe: str = Field(description="Question for kind `describe`.")
    refer: str = Field(description="Question for kind `refer`, with {text}.")
    ask: str = Field(description="Question for kind `ask`, with {text}.")
    locate: str = Field(description="Question for kind `locate`, with {text}.")
    lower_case: tuple[Literal["refer", "ask", "locate"], ...] = Field(
        default=(), description="Kinds whose text is lower-cased; the reference does so with `refer`."
    )
    answer: str = Field(
        default="It is [SEG].",
        description="Answer taught for refer, ask and locate; holds the seg token. {name} stands for the "
        "phrase by which a caption of the video names the object; for what was asked where none does.",
    )

    def short_answer(self, name: str) -> str:
        """The answer to teach about an object of this name."""
        return self.answer.replace(NAME, name)

    def question(self, kind: str, text: str) -> str:
        """The question as the model reads it."""
        template: str = getattr(self, kind)
        words = text.lower() if kind in self.lower_case else text
        return template.replace(TEXT, words.strip())


class GenerationOptions(_Strict):
    """How answers are decoded (greedily)."""

    max_new_tokens: int = Field(default=512, ge=1, description="Longest answer in tokens.")
    cuda_graphs: bool = Field(
        default=False,
        description="Record the step that makes a token as a CUDA graph, once an answer, and replay it. "
        "Not yet tried on a GPU; on a CPU steps only keep their shapes, which takes longer.",
    )


class Recipe(_Strict):
    """A model: seven parts, the facts of its checkpoint, and where its weights are.

    A file may begin with ``extends``, the name or path of another recipe: what it says itself comes on top.
    """

    name: str = Field(description="What reports call it.")
    description: str = Field(default="", description="One line for people.")
    image_encoder: Part | None = Field(default=None, description="Sees each frame by itself.")
    video_encoder: Part | None = Field(default=None, description="Sees frames together.")
    image_adapter: Part | None = Field(default=None, description="V→L adapter of the image branch.")
    video_adapter: Part | None = Field(default=None, description="V→L adapter of the video branch.")
    language_model: Part | None = Field(
        default=None, description="Reads visual tokens and the question, answers."
    )
    prompt_adapter: Part | None = Field(default=None, description="L→V adapter: state to mask prompt.")
    mask_decoder: Part | None = Field(default=None, description="Turns prompts into masks.")
    model: Part | None = Field(default=None, description="A whole model instead of the seven parts.")
    sampling: Sampling | None = Field(default=None, description="Frames for the encoders.")
    seg: Seg | None = Field(default=None, description="What a mask prompt is in this checkpoint.")
    prompts: Prompts | None = Field(default=None, description="Templates.")
    generation: GenerationOptions = Field(default=GenerationOptions(), description="Decoding of answers.")
    training: TrainConfig | None = Field(default=None, description="How `grounding train` trains it.")
    precision: Floats = Field(
        default="fp32", description="Number type of the weights of all parts that do not name their own."
    )
    checkpoint: str | None = Field(
        default=None,
        description="Folder with model.safetensors (./ is the recipe's own folder); none: nothing to answer "
        "with, parts start training from their own weights.",
    )

    _folder: Path | None = PrivateAttr(default=None)

    def parts(self) -> dict[str, Part]:
        """The parts that are there, by role."""
        return {role: part for role in ROLES if (part := getattr(self, role)) is not None}

    @property
    def has_weights(self) -> bool:
        """Whether it says where trained weights are; a whole model sees to its own."""
        return self.model is not None or self.checkpoint is not None

    def fingerprint(self) -> str:
        """A hash of everything that shapes predictions, apart from the weights and where the recipe lies."""
        content = self.model_dump(mode="json", exclude={"description", "checkpoint", "training"})
        if self.sampling is not None and self.sampling.select is None:
            del content["sampling"]["select"]  # recipes from before there were selectors stay the same
        text = json.dumps(content, sort_keys=True)
        if self._folder is not None:
            text = text.replace(json.dumps(str(self._folder))[1:-1], ".")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe.

        Args:
            source: name of an installed recipe, path of a YAML file or of a folder with ``recipe.yaml``, or
                a model on the hub, ``owner/name`` or ``owner/name@revision``.
            overrides: ``part.option=value``, value in YAML; ``part=null`` takes a part out. Paths in them are
                relative to the working directory, with ``./`` as without.

        Raises:
            RecipeError: all problems found, each with its path in the recipe.
            CheckpointError: the hub gives no such model.
            PluginError: no such recipe is installed.
        """
        data = _data(source, ())
        for override in overrides:
            _override(data, override, str(source))
        recipe = cls.parse(data, label=str(source))
        recipe._folder = _path(source).parent
        return recipe

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, label: str = "(inline)") -> Recipe:
        """Validate a mapping; see `load` for errors."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise RecipeError(label, validation_problems(error)) from error


def _path(source: str | Path) -> Path:
    """The file behind an installed recipe's name, a path, a folder that holds one, or a hub id."""
    path = Path(source).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return path.resolve()
    if path.is_dir() and (path / RECIPE).is_file():
        return (path / RECIPE).resolve()
    from grounding_core.plugins import registry

    if path.is_dir() and str(source) not in registry().names("recipe"):
        remedy = "name a folder made by save_pretrained or convert, or a YAML file"
        raise RecipeError(str(source), [("", f"there is no {RECIPE} in this folder; {remedy}")])
    if is_hub_id(str(source)):
        # Not resolved: in the hub's cache it is a link, and what it names lies beside the link.
        return fetch_model(str(source)).absolute() / RECIPE
    return registry().path("recipe", str(source)).resolve()


def _data(source: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe file's content, merged into the recipe that its ``extends`` names."""
    path = _path(source)
    if not path.is_file():
        raise RecipeError(
            str(source), [("", "the file does not exist; check the path, or name an installed recipe")]
        )
    if path in seen:
        raise RecipeError(str(source), [("extends", "the recipe extends itself")])
    try:
        own = _read(path.read_text(encoding="utf-8"), path.parent, str(source))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = f"not valid YAML: {' '.join(str(error).split())}"
        raise RecipeError(str(source), [("", problem)]) from error
    if not isinstance(own, dict):
        raise RecipeError(
            str(source), [("", "a recipe is a mapping of parts; this file holds something else")]
        )
    base = own.pop("extends", None)
    return own if base is None else _merged(_data(str(base), (*seen, path)), own)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``own`` over ``base``, section by section; a part of another type replaces the whole part."""
    merged = dict(base)
    for key, value in own.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            same = value.get("type", old.get("type")) == old.get("type")
            value = _merged(old, value) if same else value
        merged[key] = value
    return merged


def validation_problems(error: ValidationError, prefix: str = "") -> list[tuple[str, str]]:
    """Pydantic's findings as (path, message)."""
    found = []
    for item in error.errors():
        path = ".".join([*([prefix] if prefix else []), *(str(part) for part in item["loc"])])
        message = item["msg"].lower() if item["type"] != "extra_forbidden" else "no such option here"
        found.append((path, message))
    return found


def _override(data: dict[str, Any], override: str, label: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise RecipeError(label, [(override, "write overrides as part.option=value")])
    try:
        # Who writes an override looks from where they stand, not from where the recipe lies.
        value = _read(text, Path.cwd(), label)
    except yaml.YAMLError as error:
        raise RecipeError(label, [(key, f"{text!r} is not a YAML value")]) from error
    *path, last = key.strip().split(".")
    node: Any = data
    for step in path:
        node = _below(node, step, key, label)
    if isinstance(node, list):
        raise RecipeError(label, [(key, f"{last} is in a list; write {key.strip()}.option=value")])
    if last == "type" and node.get("type") != value:
        node.clear()  # another component has options of its own
    node[last] = value


def _below(node: Any, step: str, key: str, label: str) -> Any:
    """A section, made where there is none; of a list, the entry of that name."""
    if isinstance(node, list):
        named = {entry["name"]: entry for entry in node if isinstance(entry, dict) and "name" in entry}
        if step not in named:
            known = f"the names are {', '.join(named)}" if named else "its entries have no names"
            raise RecipeError(label, [(key, f"no entry is named {step}; {known}")])
        return named[step]
    child = node.get(step)
    if child is None:
        child = node[step] = {}
    if not isinstance(child, (dict, list)):
        raise RecipeError(label, [(key, f"{step} holds a value, not a mapping")])
    return child


def _read(text: str, folder: Path, label: str) -> Any:
    """YAML's value, its ./ paths made absolute.

    Raises:
        yaml.YAMLError: it is no YAML.
        RecipeError: it has no end.
    """
    try:
        return _anchor(yaml.safe_load(text), folder)
    except RecursionError as error:
        problem = "its values have no end: an alias (*name) stands inside what it names; write the value out"
        raise RecipeError(label, [("", problem)]) from error


def _anchor(value: Any, folder: Path) -> Any:
    """Make strings that begin with ./ absolute: they are relative to ``folder``."""
    if isinstance(value, dict):
        return {key: _anchor(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_anchor(item, folder) for item in value]
    if isinstance(value, str) and value.startswith("./"):
        return str(folder / value[2:])
    return value
