"""Attention to a shared prefix is the attention that a row of its own would have."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F
from transformers import DynamicCache

from grounding_core.shared_prefix import attend, share, teach
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


def test_rows_of_several_prefixes_attend_to_their_own() -> None:
    torch.manual_seed(0)
    counts, length = (2, 0, 3), 4
    rows = torch.tensor([0, 0, 2, 2, 2])
    prefix = torch.randn(2, len(counts), GROUPS, PAST, WIDTH, requires_grad=True)
    own = torch.randn(2, len(rows), GROUPS, length, WIDTH, requires_grad=True)
    query = torch.randn(len(rows), HEADS, length, WIDTH, requires_grad=True)
    sight = Sight(
        PAST,
        torch.ones(1, length, dtype=torch.long),
        0,
        own_only=True,
        dtype=torch.float32,
        window=None,
        kinds=set(),
    )
    cache = DynamicCache()
    cache.update(*prefix, 0)
    keys, values = teach(cache, counts).layers[0].update(*own)
    found, _ = attend(SimpleNamespace(), query, keys, values, sight.mask(0, length))

    whole = torch.cat([prefix[:, rows], own], 3).repeat_interleave(HEADS // GROUPS, 2)
    seen = torch.ones(length, PAST + length, dtype=torch.bool).tril(PAST)
    expected = F.scaled_dot_product_attention(query, *whole, attn_mask=seen).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    tensors = (prefix, own, query)
    gradients = [torch.autograd.grad(output.square().sum(), tensors) for output in (found, expected)]
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


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
