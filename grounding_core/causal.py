"""A LanguageModel over any causal language model of transformers, with its own key-value cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer

from grounding_core.decoding import FixedSteps, Step, growing
from grounding_core.errors import CheckpointError, GroundingError
from grounding_core.interfaces.language_model import Generation, LanguageModel, Norm, Prefix, Segment, Told
from grounding_core.precision import filled_later
from grounding_core.recompute import recompute_layers
from grounding_core.shared_prefix import NAME as SHARED
from grounding_core.shared_prefix import all_came, passes_marks, share, teach
from grounding_core.sight import FULL, SLIDING, Mask, Sight

FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
"""What transformers calls the norm behind the last layer."""


def fork(cache: DynamicCache, rows: Tensor) -> DynamicCache:
    """A cache whose row i is row ``rows[i]`` of another; gradients flow back into the source."""
    forked = DynamicCache()
    for index, layer in enumerate(cache.layers):
        forked.update(layer.keys[rows], layer.values[rows], index)
    return forked


def layer_kinds(config: Any) -> set[str]:
    """Kinds of layers that a transformers config names; empty if all are alike."""
    named = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None) or ()
    return {FULL if kind == "global" else kind for kind in named}  # GPT-Neo's word


def check_family(network: type, config: Any) -> None:
    """See that questions can share what a network has read; no weights are needed.

    Args:
        network: a ``*ForCausalLM`` class.
        config: its transformers config.

    Raises:
        CheckpointError: they can't; names the family.
    """
    others = sorted(layer_kinds(config) - {FULL, SLIDING})
    if cache_argument(network) is None:
        problem = "keeps no keys and values of what it read"
    elif others:
        problem = f"has layers of kind {', '.join(others)}"
    elif getattr(config, "max_position_embeddings", None) is None:
        problem = "names no longest sequence (max_position_embeddings)"
    elif getattr(config, "alibi", False):
        problem = "weighs tokens by their distance (alibi)"
    else:
        return
    raise CheckpointError(
        f"{network.__name__} ({config.model_type}) {problem}: questions can not share their state.",
        "Choose a model of full and sliding attention with encoded positions, such as Qwen/Qwen3-1.7B.",
    )


def cache_argument(network: Any) -> str | None:
    """The argument by which a network of transformers, or its class, takes a key-value cache."""
    takes = inspect.signature(network.forward).parameters
    # Newer versions of transformers say `cache`.
    return next((name for name in ("cache", "past_key_values") if name in takes), None)


class _Final:
    """Stands in for a decoder, and for what it returns: final states that are known already."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __call__(self, *_: Any, **__: Any) -> _Final:
        return self

    def __getitem__(self, index: int) -> Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


class CausalLM(LanguageModel):
    """Drives ``network`` (a ``*ForCausalLM``) and ``tokenizer``; subclasses say where they come from.

    The answer is decoded greedily. States are read from the network's last layer as it generates:
    no second pass.
    """

    streams = True

    def __init__(
        self,
        config: Any,
        *,
        network: Any,
        tokenizer: Any,
        special_tokens: Sequence[str],
        norm: Norm,
    ) -> None:
        super().__init__(config, special_tokens=special_tokens, norm=norm)
        self.network: Any = network
        self.tokenizer = tokenizer
        check_family(type(network), network.get_decoder().config)
        tokenizer.add_tokens(list(special_tokens), special_tokens=True)
        rows = self.network.get_input_embeddings().num_embeddings
        if len(tokenizer) > rows:
            # New rows are drawn like the old ones, where there are any.
            self.network.resize_token_embeddings(len(tokenizer), mean_resizing=not filled_later())
        self._norm: Norm = norm
        self._cache_argument = cache_argument(network.get_decoder()) or "past_key_values"
        # Attention that caps its scores or gives them a sink is no plain softmax: such networks are "eager".
        if network.config._attn_implementation == "sdpa" and passes_marks(network, self._cache_argument):
            network.set_attn_implementation(SHARED)
        self._shares = network.get_decoder().config._attn_implementation == SHARED
        self._fixed = False
        self._spread = False

    def tokenize(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def detokenize(self, ids: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def token_id(self, token: str) -> int:
        index = self.tokenizer.convert_tokens_to_ids(token)
        if index is None or index == self.tokenizer.unk_token_id:
            raise CheckpointError(
                f"The tokenizer has no token {token}.", "Use the checkpoint's own tokenizer."
            )
        return int(index)

    @property
    def start_ids(self) -> list[int]:
        return [] if self.tokenizer.bos_token_id is None else [int(self.tokenizer.bos_token_id)]

    @property
    def end_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def embeddings(self) -> Tensor:
        weight: Tensor = self.network.get_input_embeddings().weight
        return weight

    def recompute(self) -> None:
        parts = self.network.get_decoder().modules()
        layers = [part for part in parts if isinstance(part, GradientCheckpointingLayer)]
        recompute_layers(layers, self._cache_argument)

    def spread_weights(self) -> None:
        self._spread = True

    def use_cuda_graphs(self) -> None:
        if not self._shares:
            raise GroundingError(
                f"generation.cuda_graphs: {type(self.network).__name__} has attention of its own kind, whose "
                "cache grows with the answer.",
                "Leave it out.",
            )
        self._fixed = True

    @property
    def end_ids(self) -> frozenset[int]:
        """All ids that end an answer."""
        return frozenset([self.end_id])

    def prefix(self, segments: Sequence[Segment]) -> Prefix:
        embed = self.network.get_input_embeddings()
        device = embed.weight.device
        rows = max((part.shape[0] for part in segments if isinstance(part, Tensor)), default=1)
        parts = []
        for part in segments:
            if isinstance(part, Tensor):
                parts.append(part.to(embed.weight.dtype))
            elif len(part):
                parts.append(embed(torch.tensor([list(part)], device=device)).expand(rows, -1, -1))
        inputs = torch.cat(parts, dim=1)
        cache = DynamicCache()
        read = self.network.get_decoder()(
            inputs_embeds=inputs, use_cache=True, **{self._cache_argument: cache}
        )
        if not cache.layers or any(layer.get_seq_length() != inputs.shape[1] for layer in cache.layers):
            raise GroundingError(
                f"{type(self.network).__name__} did not keep keys and values of all that it read.",
                "Choose another language model.",
            )
        if self._spread:
            # Only keys and values get gradients; the output has to have one first, if of zeros.
            last: Any = cache.layers[-1]
            last.values = last.values + 0 * read.last_hidden_state.sum()
        return Prefix(cache=cache, length=inputs.shape[1], rows=rows)

    def _read(
        self,
        cache: DynamicCache,
        ids: Tensor,
        mask: Mask | None,
        positions: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Read (n, s) ids after a cache; final states after the norm, and the chosen states (n, s, dl)."""
        decoder = self.network.get_decoder()
        captured: list[Tensor] = []
        handle = None
        if self._norm == "before":
            norm = next(getattr(decoder, name) for name in FINAL_NORMS if hasattr(decoder, name))
            handle = norm.register_forward_pre_hook(lambda _, args: captured.append(args[0]))
        try:
            output = decoder(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                **{self._cache_argument: cache},
            )
        finally:
            if handle is not None:
                handle.remove()
        if not all_came(cache):
            raise GroundingError(
                f"{type(self.network).__name__}'s attention lost the prefix that questions share.",
                "Choose another language model.",
            )
        final: Tensor = output.last_hidden_state
        return final, captured[0] if captured else final

    @torch.inference_mode()
    def generate(
        self,
        prefix: Prefix,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        told: Told | None = None,
    ) -> Generation:
        count = len(prompts)
        if count == 0:
            return Generation([], [], [])
        device = self.network.get_input_embeddings().weight.device
        longest = max(len(prompt) for prompt in prompts)
        # Left padding: the last prompt token of every row is in the last column, so rows decode together.
        ids = torch.full((count, longest), self.end_id, device=device)
        real = torch.zeros((count, longest), dtype=torch.long, device=device)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
            real[row, longest - len(prompt) :] = 1
        sight = self._sight(prefix.length, real, max_new_tokens)
        first_row = torch.zeros(count, dtype=torch.long, device=device)
        cache = share(prefix.cache) if self._shares else fork(prefix.cache, first_row)
        final, state = self._read(cache, ids, sight.mask(0, longest), sight.positions[:, :longest])

        step: Step
        if self._fixed:
            step = FixedSteps(self._read, self._choose, cache, sight, longest, max_new_tokens)
        else:
            step = growing(self._read, self._choose, cache, sight, longest)
        answers: list[list[int]] = [[] for _ in prompts]
        states: list[list[Tensor]] = [[state[row, -1]] for row in range(count)]
        open_rows = set(range(count))
        ends = self.end_ids
        chosen = self._choose(final[:, -1])
        for _ in range(max_new_tokens):
            tokens = chosen.tolist()
            for row in sorted(open_rows):
                token = tokens[row]
                if token in ends:
                    open_rows.discard(row)
                    continue
                answers[row].append(token)
                if told is not None:
                    told(row, token)
            if not open_rows:
                break
            chosen, last = step(chosen)
            for row in open_rows:
                states[row].append(last[row])
        return Generation(
            ids=answers,
            states=[torch.stack(rows) for rows in states],
            truncated=[row in open_rows for row in range(count)],
        )

    def _window(self) -> int | None:
        """How far back sliding layers look; None where none slides."""
        config = self.network.get_decoder().config
        return None if layer_kinds(config) == {FULL} else getattr(config, "sliding_window", None)

    @property
    def _looks_apart(self) -> bool:
        """Whether rows look at the shared prefix by themselves, so that masks cover their own tokens only."""
        return self._shares and self._window() is None

    def _sight(self, past: int, real: Tensor, more: int) -> Sight:
        """What questions, (n, s) with 1 on their tokens, and ``more`` tokens of answers look at."""
        return Sight(
            past,
            real,
            more,
            dtype=self.embeddings().dtype,
            window=self._window(),
            kinds=layer_kinds(self.network.get_decoder().config),
            own_only=self._looks_apart,
        )

    def teach(self, prefix: Prefix, rows: Tensor, ids: Tensor, learned: Tensor) -> tuple[Tensor, Tensor]:
        if self._looks_apart:
            order = rows.argsort(stable=True)
            cache = teach(prefix.cache, rows.bincount(minlength=prefix.rows).tolist())
            sight = self._sight(prefix.length, torch.ones_like(ids[:1]), 0)
            final, states = self._read(cache, ids[order], sight.mask(0, ids.shape[1]), sight.positions)
            back = order.argsort()
            final, states = final[back], states[back]
        else:
            final, states = self._read(fork(prefix.cache, rows), ids, None, None)
        return self._logits(final[:, :-1][learned[:, 1:]]), states

    def _choose(self, final: Tensor) -> Tensor:
        return self._logits(final).argmax(-1)

    def _logits(self, final: Tensor) -> Tensor:
        """By the network's own code behind its decoder, which may scale and cap them: (w, dl) -> (w, v)."""
        decoder = self.network.get_decoder()
        path = next(name for name, part in self.network.named_modules() if part is decoder)
        head = _with(self.network, path.split("."), _Final(final[None]))
        logits: Tensor = type(self.network).forward(head, input_ids=None).logits[0]
        return logits


def _with(module: Any, path: Sequence[str], part: Any) -> Any:
    """A module that differs from another in one part only; both hold the same weights."""
    first, *rest = path
    inner = _with(module._modules[first], rest, part) if rest else part
    copied = object.__new__(type(module))
    copied.__dict__.update(module.__dict__, _modules={**module._modules, first: inner})
    return copied
