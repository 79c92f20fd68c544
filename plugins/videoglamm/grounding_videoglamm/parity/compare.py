"""When two tensors are equal enough: the tolerances that golden numbers come with."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from grounding_videoglamm.parity.golden import Golden

NOISE_FACTOR = 10
RELATIVE = 1e-4
FLIPPED = 1e-4
"""Share of mask pixels that may differ."""
LATER_FLIPPED, LATER_RMS, LATER_LARGEST = 5e-3, 5e-3, 0.2
"""The same for tracked frames after the first, whose memory is rounded to bfloat16; their logits' errors."""
ABSENT = -1000.0
"""Mask logits below this mark an absent object."""
FP16_STEP = 2.0**-10


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        stage: of the pipeline.
        name: of the tensor.
        error: largest absolute difference (a share of pixels for masks, a count for ids).
        relative: ``error`` over the reference's largest absolute value.
        tolerance: what ``error`` may be.
        passed: all conditions hold.
        note: of what failed beyond ``error``.
    """

    stage: str
    name: str
    error: float
    relative: float
    tolerance: float
    passed: bool
    note: str = ""


@dataclass
class Checks:
    """Collects comparisons against one golden folder."""

    golden: Golden
    rows: list[Row] = field(default_factory=list)
    stage: str = ""

    def close(
        self,
        name: str,
        ours: Tensor,
        reference: Tensor | None = None,
        *,
        noise: float | None = None,
        label: str = "",
        fp16: bool = False,
    ) -> None:
        """Compare with ``reference`` (by default the output ``name``).

        Args:
            name: whose noise the tolerance follows: ten times it, or 1e-4 of the largest value.
            ours: what this package computed.
            reference: what the reference computed.
            noise: instead of the noise the tables give.
            label: instead of ``name`` in the table.
            fp16: the reference was stored rounded to fp16.
        """
        wanted = (self.golden.outputs[name] if reference is None else reference).detach().double()
        got = ours.detach().double()
        if got.shape != wanted.shape:
            shapes = f"shape {tuple(got.shape)}, not {tuple(wanted.shape)}"
            self.rows.append(Row(self.stage, label or name, float("inf"), float("inf"), 0.0, False, shapes))
            return
        here, there = got < ABSENT, wanted < ABSENT
        both = here & there
        largest = wanted[~there].abs().max().item() if bool((~there).any()) else 0.0
        error = (got - wanted).masked_fill(both, 0).abs().max().item() if got.numel() else 0.0
        known = self.golden.noise.get(name, 0.0) if noise is None else noise
        tolerance = max(NOISE_FACTOR * known, RELATIVE * largest, FP16_STEP * largest if fp16 else 0.0)
        passed = error <= tolerance and bool((here == there).all())
        self.rows.append(
            Row(self.stage, label or name, error, error / max(largest, 1e-30), tolerance, passed)
        )

    def same(self, name: str, ours: Tensor, reference: Tensor | None = None, *, label: str = "") -> None:
        """Integers must be equal; the error is how many differ."""
        wanted = self.golden.outputs[name] if reference is None else reference
        differ = float("inf")
        if ours.shape == wanted.shape:
            differ = float((ours.long() != wanted.long()).sum())
        share = differ / max(wanted.numel(), 1)
        self.rows.append(Row(self.stage, label or name, differ, share, 0.0, differ == 0))

    def masks(self, name: str, ours: Tensor, reference: Tensor, *, allowed: float = FLIPPED) -> None:
        """Binary masks: the error is the share of pixels that differ."""
        share = (ours.bool() != reference.bool()).double().mean().item()
        self.rows.append(Row(self.stage, name, share, share, allowed, share <= allowed))

    def tracked(self, name: str, ours: Tensor, objects: int) -> None:
        """Mask logits (t, k, h, w) of the video branch: frame 0 as everything else, later frames by rms."""
        wanted = self.golden.outputs[name]
        noise = self.golden.first_frame_noise(objects)
        self.close(name, ours[0], wanted[0], noise=noise, label=f"{name} frame 0")
        if len(ours) < 2:
            return
        absent = (ours < ABSENT) & (wanted < ABSENT)
        largest = wanted[wanted > ABSENT].abs().max().item()
        difference = (ours - wanted).masked_fill(absent, 0)[1:]
        error, rms = difference.abs().max().item(), difference.square().mean((-2, -1)).sqrt().max().item()
        self.rows.append(
            Row(
                self.stage,
                f"{name} frames 1..",
                error,
                error / largest,
                LATER_LARGEST,
                error <= LATER_LARGEST and rms <= LATER_RMS,
                f"rms {rms:.1e} of {LATER_RMS:.0e}",
            )
        )


def rounded(values: Tensor) -> Tensor:
    """Through fp16 and back, as the golden pixel values were stored."""
    return values.to(torch.float16).to(values.dtype)
