"""One connected piece of a mask: the function, and the option that reaches it."""

import numpy as np
import pytest
import torch
from grounding_videoglamm.pieces import strongest_piece
from grounding_videoglamm.sam2 import Sam2Decoder
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

LOGITS = arrays(np.float32, (2, 7, 8), elements=st.floats(-3, 3, width=32))


@given(LOGITS)
def test_one_piece_is_left_and_it_has_the_largest_sum(values: np.ndarray) -> None:
    found = strongest_piece(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(np.abs(found), np.abs(values))
    for before, after in zip(values, found, strict=True):
        labels, count = ndimage.label(before > 0)
        kept = after > 0
        assert ndimage.label(kept)[1] == min(count, 1)
        assert not kept[before <= 0].any()
        for piece in range(1, count + 1):
            assert before[labels == piece].sum() <= before[kept].sum() + 1e-5


class Given:
    """A decoder whose network gave these logits."""

    def __init__(self, one_piece: bool) -> None:
        self.config = Sam2Decoder.Config(mode="framewise", one_piece=one_piece)

    def _framewise(self, scene: object, prompts: torch.Tensor) -> list[torch.Tensor]:
        logits = torch.full((1, 4, 8), -1.0)
        logits[0, 1:3, 0:3], logits[0, 1:3, 5:7] = 1.0, 3.0
        return [logits]

    def at_frame_size(self, scene: object, logits: torch.Tensor) -> torch.Tensor:
        return logits


@pytest.mark.parametrize(("one_piece", "columns"), [(True, [5, 6]), (False, [0, 1, 2, 5, 6])])
def test_the_option_leaves_the_piece_that_is_surest(one_piece: bool, columns: list[int]) -> None:
    (logits,) = Sam2Decoder.track(Given(one_piece), object(), torch.zeros(1, 1, 4))  # type: ignore[arg-type]
    assert (logits[0] > 0).any(0).nonzero()[:, 0].tolist() == columns
