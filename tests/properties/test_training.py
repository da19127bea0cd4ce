import torch
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from mtkit.config.training import Cosine, InverseSqrt, Schedule, WarmupStableDecay
from mtkit.training.loss import add, output_loss
from mtkit.training.muon import orthogonalised
from mtkit.training.schedule import factor
from mtkit.training.update import derived_seed

warm_ups, shares = st.integers(1, 200), st.floats(0, 1)
schedules: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(InverseSqrt, warmup_updates=warm_ups),
    st.builds(Cosine, warmup_updates=warm_ups, floor=shares),
    st.builds(WarmupStableDecay, warmup_updates=warm_ups, decay_share=shares, floor=shares),
)


@given(schedules, st.integers(0, 500))
@checked(max_examples=60, deadline=None)
def test_a_rate_rises_to_one_at_the_end_of_warm_up_and_never_after(schedule: Schedule, more: int) -> None:
    total = schedule.warmup_updates + more
    rates = [factor(schedule, update, total) for update in range(1, total + 1)]
    peak = schedule.warmup_updates - 1
    assert rates[peak] == 1.0
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert all(0.0 <= rate <= 1.0 for rate in rates)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(0, 0.9), st.integers(0, 99))
@checked(max_examples=30, deadline=None)
def test_sums_of_parts_are_the_sum_of_the_whole(parts: list[int], smoothing: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(sum(parts), 5, generator=draw), torch.randn(13, 5, generator=draw)
    targets = torch.randint(0, 13, (sum(parts),), generator=draw)
    pieces = zip(torch.split(hidden, parts), torch.split(targets, parts), strict=True)
    apart = add(output_loss(some, weight, ids, smoothing)[1] for some, ids in pieces)
    _, whole = output_loss(hidden, weight, targets, smoothing)
    torch.testing.assert_close(apart, whole, rtol=1e-4, atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.floats(1e-6, 1e6))
@checked(max_examples=60, deadline=None)
def test_orthogonalising_forgets_the_scale_and_bounds_every_singular_value(
    rows: int, columns: int, seed: int, scale: float
) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    found = orthogonalised(matrix * scale)
    torch.testing.assert_close(found, orthogonalised(matrix), rtol=1e-2, atol=1e-2)
    assert torch.linalg.matrix_norm(found, 2) < 1.25


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
@checked(max_examples=50, deadline=None)
def test_derived_seeds_are_what_torch_accepts(parts: list[int]) -> None:
    assert 0 <= derived_seed(*parts) < 2**63
