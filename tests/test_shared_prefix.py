"""Attention to a shared prefix is the attention that a row of its own would have."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F
from transformers import DynamicCache

from grounding_core.shared_prefix import attend, share
from grounding_core.sight import FULL, SLIDING, Sight

HEADS, GROUPS, WIDTH, PAST = 4, 2, 8, 5


@pytest.mark.parametrize("queries", [3, 1])
@pytest.mark.parametrize("own_only", [True, False])
def test_rows_attend_as_if_the_prefix_were_theirs(queries: int, own_only: bool) -> None:
    torch.manual_seed(0)
    rows, asked = 3, 4
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]])
    options = {"dtype": torch.float32, "window": None, "kinds": set()}
    sight = Sight(PAST, real, 2, own_only=own_only, **options)
    first, last = (asked - 3, asked) if queries == 3 else (asked, asked + 1)

    prefix = torch.randn(2, 1, GROUPS, PAST, WIDTH)
    own = torch.randn(2, rows, GROUPS, last, WIDTH)
    query = torch.randn(rows, HEADS, queries, WIDTH)
    cache = DynamicCache()
    cache.update(*prefix, 0)
    keys, values = share(cache).layers[0].update(*own)
    found, _ = attend(SimpleNamespace(), query, keys, values, sight.mask(first, last))

    whole = torch.cat([prefix.expand(-1, rows, -1, -1, -1), own], 3).repeat_interleave(HEADS // GROUPS, 2)
    mask = Sight(PAST, real, 2, own_only=False, **options).mask(first, last)
    expected = F.scaled_dot_product_attention(query, *whole, attn_mask=mask).transpose(1, 2)
    # Tokens that only fill a row see the prefix; what comes of them is not used.
    used = torch.cat([real, torch.ones(rows, 2)], 1)[:, first:last] > 0
    torch.testing.assert_close(found[used], expected[used], rtol=1e-5, atol=1e-6)


def test_a_window_counts_positions() -> None:
    sight = Sight(
        3,
        torch.tensor([[0, 1], [1, 1]]),
        2,
        dtype=torch.float32,
        window=2,
        kinds={FULL, SLIDING},
        own_only=False,
    )
    assert sight.positions.tolist() == [[3, 3, 4, 5], [3, 4, 5, 6]]
    masks = sight.mask(2, 3)
    assert isinstance(masks, dict)
    assert (masks[FULL][:, 0, 0] == 0).tolist() == [
        [True, True, True, False, True, True],
        [True, True, True, True, True, True],
    ]
    assert (masks[SLIDING][:, 0, 0] == 0).tolist() == [
        [False, False, False, False, True, True],
        [False, False, False, False, True, True],
    ]
