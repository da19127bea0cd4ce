import numpy as np
import pytest

from mtkit.batches.partition import Cells, partition

Part = tuple[list[list[int]], list[int]]


def cells(*of: tuple[int, int, int]) -> Cells:
    """Cells of (source length, target length, number of pairs)."""
    source, target, number = (np.array(column) for column in zip(*of, strict=True))
    return Cells(source, target, number, np.arange(len(of)))


def made(of: Cells, batches: int, budget: int | None = None) -> list[Part]:
    """The cells of each part with its batches' sizes."""
    return [
        (np.stack([part.source, part.target, part.number], axis=1).tolist(), sizes.tolist())
        for part, sizes in partition(of, batches, budget)
    ]


def test_pairs_that_fit_together_stay_together() -> None:
    assert made(cells((4, 5, 3)), 1, budget=15) == [([[4, 5, 3]], [3])]


def test_alike_pairs_are_cut_into_even_batches_under_the_budget() -> None:
    assert made(cells((4, 5, 10)), 1, budget=15) == [([[4, 5, 10]], [2, 2, 3, 3])]


def test_the_cut_goes_along_the_side_that_differs() -> None:
    short_sources = [(3, 9, 3), (30, 9, 3)]
    assert sorted(made(cells(*short_sources), 2, budget=45)) == [([[3, 9, 3]], [3]), ([[30, 9, 3]], [3])]
    short_targets = [(4, 3, 15), (4, 9, 5)]
    assert sorted(made(cells(*short_targets), 2, budget=45)) == [([[4, 3, 15]], [15]), ([[4, 9, 5]], [5])]


def test_a_long_source_makes_more_batches_than_the_targets_need() -> None:
    sizes = [size for _, sizes in made(cells((100, 2, 10)), 1, budget=100) for size in sizes]
    assert sizes == [2] * 5  # twice the budget: 200 source positions a batch


def test_a_few_long_targets_do_not_pad_many_short_ones() -> None:
    parts = made(cells((2, 2, 60), (2, 100, 1)), 1, budget=250)
    assert sorted(parts) == [([[2, 2, 60]], [60]), ([[2, 100, 1]], [1])]


def test_a_pair_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    sizes = [sizes for _, sizes in made(cells((500, 500, 1), (2, 400, 1)), 1, budget=100)]
    assert sizes == [[1], [1]]


@pytest.mark.parametrize("batches", [1, 2, 3, 7, 20])
def test_without_a_budget_there_are_just_so_many_batches(batches: int) -> None:
    of = cells((3, 4, 6), (50, 4, 1), (5, 60, 1), (9, 9, 11), (9, 10, 1))
    sizes = [size for _, sizes in made(of, batches) for size in sizes]
    assert len(sizes) == batches
    assert sum(sizes) == 20
    assert min(sizes) >= 1
