import math

import pytest
import torch

from mtkit.config.model import LearnedPositions, ModelSettings, RotaryPositions
from mtkit.errors import ModelError
from mtkit.model.positions import FIRST_ROWS, Learned, Rotary, Sinusoidal, added_positions, turned_positions


def test_sinusoids_are_the_papers_sines_and_cosines() -> None:
    table = Sinusoidal(6)(torch.zeros(1, 11, 6))[0]
    for t in range(11):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert float(table[t, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-6)
            assert float(table[t, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-6)


def test_a_start_shifts_what_is_added() -> None:
    for module in (Sinusoidal(4), Learned(LearnedPositions(max=13), 4)):
        if isinstance(module, Learned):
            torch.nn.init.normal_(module.weight)
        whole = module(torch.zeros(1, 13, 4))
        assert torch.equal(module(torch.zeros(1, 3, 4), 10), whole[:, 10:])


def test_tables_grow_for_long_texts_without_changing_what_was_there() -> None:
    sinusoidal, rotary = Sinusoidal(4), Rotary(4, 10000.0)
    short = sinusoidal.table.clone()
    assert sinusoidal(torch.zeros(1, FIRST_ROWS + 3, 4)).shape == (1, FIRST_ROWS + 3, 4)
    assert torch.equal(sinusoidal.table[:FIRST_ROWS], short)
    assert rotary(torch.randn(1, FIRST_ROWS + 3, 2, 4)).shape == (1, FIRST_ROWS + 3, 2, 4)


def test_a_table_grown_while_translating_serves_training() -> None:
    for module, shape in (
        (Sinusoidal(4), (1, FIRST_ROWS + 1, 4)),
        (Rotary(4, 10.0), (1, FIRST_ROWS + 1, 2, 4)),
    ):
        with torch.inference_mode():
            module(torch.zeros(shape))
        states = torch.randn(shape, requires_grad=True)
        (module(states) * states).sum().backward()
        assert states.grad is not None


def test_rotary_turns_each_pair_by_its_angle() -> None:
    heads = torch.randn(2, 5, 3, 4)
    turned = Rotary(4, 100.0)(heads, start=7)
    for t in range(5):
        for i in range(2):
            angle = (7 + t) * 100.0 ** (-2 * i / 4)
            even, odd = heads[:, t, :, 2 * i], heads[:, t, :, 2 * i + 1]
            torch.testing.assert_close(turned[:, t, :, 2 * i], even * math.cos(angle) - odd * math.sin(angle))
            torch.testing.assert_close(
                turned[:, t, :, 2 * i + 1], odd * math.cos(angle) + even * math.sin(angle)
            )


def test_products_of_turned_heads_depend_on_the_distance_only() -> None:
    rotary, query, key = Rotary(8, 10000.0), torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    near = (rotary(query, 5) * rotary(key, 2)).sum()
    far = (rotary(query, 305) * rotary(key, 302)).sum()
    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-4)


def test_rotary_keeps_bfloat16() -> None:
    assert Rotary(4, 10.0)(torch.ones(1, 2, 1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_more_tokens_than_learned_positions_is_an_error_with_the_way_out() -> None:
    module = Learned(LearnedPositions(max=5), 4)
    with pytest.raises(ModelError, match="a text of 6 tokens, but only 5 positions") as caught:
        module(torch.zeros(1, 2, 4), 4)
    assert "positions.max" in caught.value.advice


def test_only_learned_positions_are_weights() -> None:
    rotary = ModelSettings(dim=8, heads=2, positions=RotaryPositions())
    assert not list(added_positions(rotary).parameters())
    assert turned_positions(rotary) is not None
    assert turned_positions(ModelSettings()) is None
    assert not added_positions(ModelSettings()).state_dict()
    learned = ModelSettings(dim=8, heads=2, positions=LearnedPositions(max=3))
    assert [tuple(weight.shape) for weight in added_positions(learned).parameters()] == [(3, 8)]
