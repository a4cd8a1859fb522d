"""Slots keep what was written, padding goes where nobody looks, and memory is taken when it is used."""

import pytest
import torch

from tests.unit.models.tiny import tiny_decoder
from waggle.models.cache import SPAN_STEP, CacheWindow, SlotCache, round_up

CONFIG = tiny_decoder().config


def new_cache(slots: int = 5, context: int = 40) -> SlotCache:
    return SlotCache(CONFIG, slots=slots, context=context)


def test_what_was_read_can_be_written_to_another_slot() -> None:
    cache = new_cache()
    cache.keys.normal_()
    cache.values.normal_()
    keys, values = cache.read(1, 17)
    cache.write(4, keys, values)
    cache.copy_prefix(4, 0, 9)
    for mine, slot, length in ((keys, 4, 17), (keys[:, :, :9], 0, 9)):
        assert torch.equal(cache.read(slot, length)[0], mine)
    assert torch.equal(cache.read(0, 9)[1], values[:, :, :9])


def test_every_slot_has_a_spare_position_and_a_whole_number_of_steps() -> None:
    for context in (15, 16, 17):
        capacity = new_cache(context=context).capacity
        assert capacity > context
        assert capacity % SPAN_STEP == 0


def test_padding_sits_at_the_spare_position() -> None:
    cache = new_cache()
    window = CacheWindow(cache, first=2, starts=[3, 20], counts=[2, 4], length=4)
    spare = cache.capacity - 1
    assert window.positions.tolist() == [[3, 4, spare, spare], [20, 21, 22, 23]]
    assert window.span == 32
    size = (8, CONFIG.kv_heads, CONFIG.head_dim)
    keys, _ = window.extend(1, torch.ones(size), torch.ones(size))
    written = cache.keys[1].ne(0).any(dim=(1, 3)).nonzero().tolist()
    assert written == [[2, 3], [2, 4], [2, spare], *([3, place] for place in range(20, 24))]
    assert keys.shape == (2 * CONFIG.kv_heads, 32, CONFIG.head_dim)


def test_a_token_sees_itself_and_what_came_before() -> None:
    window = CacheWindow(new_cache(), first=0, starts=[2], counts=[2], length=2)
    assert window.mask.isfinite().sum(dim=-1).tolist() == [[3, 4]]
    assert window.mask[0, 0, :3].tolist() == [0, 0, 0]


def test_half_precision_is_possible() -> None:
    cache = SlotCache(CONFIG, slots=2, context=8, dtype=torch.bfloat16)
    assert cache.keys.dtype is torch.bfloat16


@pytest.mark.parametrize(("number", "rounded"), [(0, 0), (1, 16), (16, 16), (17, 32)])
def test_round_up(number: int, rounded: int) -> None:
    assert round_up(number, 16) == rounded
