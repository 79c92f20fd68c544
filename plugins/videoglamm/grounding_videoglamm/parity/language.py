"""Stages of the language model, all through the key-value cache with the video as shared prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from grounding_core.interfaces.language_model import Generation, Prefix
from grounding_videoglamm.parity.compare import Checks
from grounding_videoglamm.parity.golden import Converted, Prompt, rows_with
from grounding_videoglamm.parity.vision import visual_tokens
from grounding_videoglamm.phi3 import Phi3


class Trace:
    """What passes through the network's layers while it reads: pieces that join to whole sequences."""

    def __init__(self, layers: int) -> None:
        self.inputs: list[list[Tensor]] = [[] for _ in range(layers)]
        self.final: list[Tensor] = []

    def layer(self, index: int) -> Tensor:
        """Input of a layer, (b, s, dl)."""
        return torch.cat(self.inputs[index], dim=1)

    @property
    def states(self) -> Tensor:
        """Final states after the norm, (b, s, dl)."""
        return torch.cat(self.final, dim=1)


@contextmanager
def traced(lm: Phi3) -> Iterator[Trace]:
    """Watch the network."""
    decoder = lm.network.get_decoder()
    trace = Trace(len(decoder.layers))
    hooks = [decoder.norm.register_forward_hook(lambda _, __, out: trace.final.append(out))]
    for layer, seen in zip(decoder.layers, trace.inputs, strict=True):
        hooks.append(layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0])))
    try:
        yield trace
    finally:
        for hook in hooks:
            hook.remove()


def read(model: Converted, prompt: Prompt, tokens: Tensor) -> Prefix:
    """The prefix users' questions share: the prompt's beginning and the visual tokens."""
    return model.lm.prefix([prompt.head, tokens])


def teacher_forced(checks: Checks, model: Converted) -> Tensor:
    """Embeddings, hidden states, logits and ``[SEG]`` embeddings of a given answer; returns these."""
    golden, lm = checks.golden, model.lm
    wanted = golden.outputs
    row = golden.inputs["tf_input_ids"][0]
    prompt = golden.prompt(row)
    tokens = visual_tokens(model, golden)
    rest = torch.tensor([prompt.rest])
    labels = golden.inputs["tf_labels"][:, -len(prompt.rest) :]
    with traced(lm) as trace:
        prefix = read(model, prompt, tokens)
        taught, states = lm.teach(prefix, torch.tensor([0]), rest, labels != golden.config["ignore_index"])
    checks.stage = "input embeddings"
    checks.close("tf_inputs_embeds", trace.layer(0))
    checks.stage = "hidden states"
    for index in range(1, len(trace.inputs)):
        name = f"tf_hidden_state_{index}_sub"
        if name in wanted:
            checks.close(name, trace.layer(index)[:, :: _step(trace.layer(index), wanted[name])])
    checks.close("tf_last_hidden_state", trace.states)
    checks.stage = "logits"
    logits = model.logits(trace.states)
    checks.close("tf_logits", logits)
    loss = F.cross_entropy(taught, rest[labels != golden.config["ignore_index"]])
    checks.close("tf_ce_loss", loss[None])
    _without_window(checks, model, prompt, tokens)
    checks.stage = "[SEG] embeddings"
    places = rows_with(rest[0], golden.seg)
    mask = torch.zeros_like(wanted["tf_seg_token_mask"])
    mask[0, prefix.length + places - 1] = 1
    checks.same("tf_seg_token_mask", mask)
    prompts = model.prompts(states[0, places - 1])
    checks.close("tf_seg_embeddings", prompts[:, 0])
    return prompts


def _step(full: Tensor, sampled: Tensor) -> int:
    return -(-full.shape[1] // sampled.shape[1])


def _without_window(checks: Checks, model: Converted, prompt: Prompt, tokens: Tensor) -> None:
    """A diagnostic of the reference: the window switched off, to see that it acts at all."""
    lm, name = model.lm, "tf_logits_nowindow_last64"
    if name not in checks.golden.outputs:
        return
    config = lm.network.config
    window, config.sliding_window = config.sliding_window, None
    try:
        with traced(lm) as trace:
            prefix = read(model, prompt, tokens)
            rest = torch.tensor([prompt.rest])
            lm.teach(prefix, torch.tensor([0]), rest, torch.zeros_like(rest, dtype=torch.bool))
    finally:
        config.sliding_window = window
    logits = model.logits(trace.states)
    checks.close(name, logits[:, -checks.golden.outputs[name].shape[1] :])


def generated(checks: Checks, model: Converted) -> Tensor:
    """A greedy answer: ids, logits of each step, states, and the ``[SEG]`` embeddings; returns these."""
    golden, lm = checks.golden, model.lm
    ids = golden.inputs["prompt_input_ids"][0]
    prompt = golden.prompt(ids)
    limit = golden.config["generation"]["max_new_tokens"]
    with traced(lm) as trace:
        prefix = read(model, prompt, visual_tokens(model, golden))
        answer = lm.generate(prefix, [prompt.rest], max_new_tokens=limit)
    checks.stage = "generated ids"
    new = _with_end(answer, 0, golden.end)
    checks.same("gen_new_token_ids", torch.tensor([new]))
    checks.same("gen_sequences", torch.tensor([[*ids.tolist(), *new]]))
    states = answer.states[0][: len(new)]
    logits = model.logits(states)
    checks.stage = "logits of each generated id"
    checks.close("gen_step_logits", logits)
    checks.close("gen_top1_margin", _margin(logits))
    wanted = golden.outputs["gen_last_hidden_state"]
    checks.close("gen_last_hidden_state", trace.states[:, : wanted.shape[1]])
    checks.stage = "[SEG] embeddings"
    places = rows_with(torch.tensor(new), golden.seg)
    mask = torch.zeros_like(golden.outputs["gen_seg_token_mask"])
    mask[0, prefix.length + len(prompt.rest) + places - 1] = 1
    checks.same("gen_seg_token_mask", mask)
    prompts = model.prompts(states[places])[:, 0]
    checks.close("gen_seg_embeddings", prompts)
    _several(checks, model, prefix, prompt, answer, limit)
    return prompts


def _several(
    checks: Checks, model: Converted, prefix: Prefix, prompt: Prompt, alone: Generation, limit: int
) -> None:
    """Questions of different lengths on one encoding: together as one by one, and as the reference."""
    lm, golden = model.lm, checks.golden
    checks.stage = "several questions on one encoding"
    rest = prompt.rest
    questions = [rest, rest[len(rest) // 2 :], [*rest[::-1], *rest, *rest], rest[:-1]]
    together = lm.generate(prefix, questions, max_new_tokens=limit)
    checks.same("gen_new_token_ids", torch.tensor([_with_end(together, 0, golden.end)]))
    for index, question in enumerate(questions):
        single = alone if index == 0 else lm.generate(prefix, [question], max_new_tokens=limit)
        ours, wanted = together.ids[index], single.ids[0]
        checks.same(f"ids of question {index + 1}", torch.tensor(ours), torch.tensor(wanted))
        noise = golden.noise.get("gen_last_hidden_state", 0.0)
        states = together.states[index][: len(wanted)], single.states[0][: len(wanted)]
        checks.close(f"states of question {index + 1}", *states, noise=noise)


def _with_end(answer: Generation, row: int, end: int) -> list[int]:
    """Generated ids as the reference stores them, the end token included."""
    return answer.ids[row] if answer.truncated[row] else [*answer.ids[row], end]


def _margin(logits: Tensor) -> Tensor:
    best = logits.topk(2).values
    return best[:, 0] - best[:, 1]


def single_image(checks: Checks, model: Converted) -> None:
    """One image: the image branch alone, its tokens not pooled."""
    golden, lm = checks.golden, model.lm
    checks.stage = "single image"
    ids = golden.inputs["image_prompt_input_ids"][0]
    prompt = golden.prompt(ids)
    limit = golden.config["generation"]["image_max_new_tokens"]
    with traced(lm) as trace:
        prefix = read(model, prompt, visual_tokens(model, golden, image=True))
        answer = lm.generate(prefix, [prompt.rest], max_new_tokens=limit)
    length = golden.outputs["image_inputs_embeds"].shape[1]
    checks.close("image_inputs_embeds", trace.layer(0)[:, :length])
    checks.close("image_last_hidden_state", trace.states[:, :length])
    logits = model.logits(trace.states[:, :length])
    wanted = golden.outputs["image_logits_last32"]
    checks.close("image_logits_last32", logits[:, -wanted.shape[1] :])
    new = _with_end(answer, 0, golden.end)
    checks.same("image_gen_sequences", torch.tensor([[*ids.tolist(), *new]]))
    steps = model.logits(answer.states[0][: len(new)])
    checks.close("image_gen_top1_margin", _margin(steps))


def words(ids: Sequence[int]) -> str:
    """The text that the numbered tokenizer reads as these ids."""
    return " ".join(f"w{index}" for index in ids)
