import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mtkit.batches.plan import plan_epoch, plan_group

BUDGET = 60
PAIRS = st.lists(st.tuples(st.integers(1, BUDGET), st.integers(1, BUDGET)), min_size=1, max_size=120)


def sides(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    source, target = zip(*pairs, strict=True)
    return np.array(source, dtype=np.int32), np.array(target, dtype=np.int32)


@settings(max_examples=80, deadline=None)
@given(pairs=PAIRS, seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_every_pair_is_in_exactly_one_batch_of_an_epoch(
    pairs: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    batches = plan_epoch(*sides(pairs), BUDGET, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
    assert all(len(batch) for batch in batches)


@settings(max_examples=80, deadline=None)
@given(pairs=PAIRS, epoch=st.integers(0, 50))
def test_no_batch_is_above_the_budget(pairs: list[tuple[int, int]], epoch: int) -> None:
    source, target = sides(pairs)
    for batch in plan_epoch(source, target, BUDGET, 1, epoch):
        assert target[batch].sum() <= BUDGET
        assert len(batch) * source[batch].max() <= 2 * BUDGET
        assert len(batch) * target[batch].max() <= 2 * BUDGET


@settings(max_examples=50, deadline=None)
@given(pairs=PAIRS, share=st.floats(0, 1), seed=st.integers(0, 2**40))
def test_a_group_has_just_so_many_batches_with_every_pair_once(
    pairs: list[tuple[int, int]], share: float, seed: int
) -> None:
    count = 1 + int(share * (len(pairs) - 1))
    batches = plan_group(*sides(pairs), count, seed)
    assert len(batches) == count
    assert all(len(batch) for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
