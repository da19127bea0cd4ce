import pytest
import torch

from mtkit.model.dropout import Rows, add_with_dropout, dropout, seeded


def test_nothing_is_dropped_outside_training_or_at_probability_zero() -> None:
    values = torch.randn(3, 5)
    assert dropout(values, 0.4, training=False) is values
    assert dropout(values, 0.0, training=True) is values


def test_the_share_dropped_is_the_probability_and_the_mean_stays() -> None:
    for probability in (0.1, 0.3, 0.9):
        kept = dropout(torch.ones(401, 503), probability, training=True)
        # 200,000 draws: a standard deviation of at most 0.0012 of the share; five of them allowed
        assert abs(float((kept == 0).float().mean()) - probability) < 0.006
        assert abs(float(kept.mean()) - 1.0) < 0.006 / (1 - probability)


def test_kept_values_are_scaled_and_pass_their_gradient() -> None:
    values = torch.randn(7, 11, requires_grad=True)
    result = dropout(values, 0.25, training=True)
    torch.autograd.backward(result.sum())
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.where(result != 0, 4 / 3, 0.0))
    torch.testing.assert_close(result, values * values.grad)


def test_one_seed_decides_the_draws_and_each_draw_differs() -> None:
    values = torch.ones(13, 17)
    torch.manual_seed(5)
    first, second = dropout(values, 0.5, training=True), dropout(values, 0.5, training=True)
    torch.manual_seed(5)
    assert torch.equal(first, dropout(values, 0.5, training=True))
    assert not torch.equal(first, second)


def test_neighbours_that_share_a_draw_are_dropped_independently() -> None:
    kept = dropout(torch.ones(40_000, 4), 0.5, training=True) != 0
    patterns = (kept * torch.tensor([1, 2, 4, 8])).sum(1).bincount(minlength=16)
    assert patterns.min() > 2500 - 250  # 16 equal shares of 2500, standard deviation 48
    assert patterns.max() < 2500 + 250


def test_bfloat16_values_stay_bfloat16() -> None:
    assert dropout(torch.ones(3, 3, dtype=torch.bfloat16), 0.5, training=True).dtype == torch.bfloat16


def test_some_rows_by_themselves_are_dropped_as_among_all() -> None:
    cpu = torch.device("cpu")
    small, large = torch.randn(7, 3, 5), torch.randn(7, 11)

    def dropped(rows: Rows | None) -> list[torch.Tensor]:
        some = slice(None) if rows is None else slice(rows.first, rows.last)
        with seeded(9, cpu, rows):
            return [dropout(values[some], 0.4, training=True) for values in (small, large, small)]

    whole = dropped(None)
    for rows in (Rows(0, 7, 7), Rows(0, 3, 7), Rows(3, 4, 7), Rows(4, 7, 7)):
        for part, all_rows in zip(dropped(rows), whole, strict=True):
            assert torch.equal(part, all_rows[rows.first : rows.last])


def test_which_rows_are_computed_is_forgotten_afterwards() -> None:
    with seeded(9, torch.device("cpu"), Rows(0, 1, 5)):
        pass
    assert dropout(torch.ones(3, 4), 0.5, training=True).shape == (3, 4)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_adding_with_dropout_is_dropout_and_a_sum(kind: torch.dtype) -> None:
    states, values = torch.randn(5, 7), torch.randn(5, 7).to(kind).requires_grad_()
    cpu = torch.device("cpu")
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        with seeded(3, cpu):
            apart = states + dropout(values, 0.3, training=True)
        with seeded(3, cpu):
            found = add_with_dropout(states, values, 0.3, training=True)
    rounding = 1e-6 if kind == torch.float32 else 2**-7  # bfloat16 has eight bits
    torch.testing.assert_close(found, apart, rtol=rounding, atol=rounding)
    gradients = [torch.autograd.grad(result.sum(), values)[0] for result in (found, apart)]
    torch.testing.assert_close(*gradients)
    assert torch.equal(add_with_dropout(states, values, 0.3, training=False), states + values)
