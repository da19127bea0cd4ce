import torch

from mtkit.model.cache import FIRST_CAPACITY, Cache

B, L, G, S, K = 3, 2, 5, 7, 4


def filled(count: int, length: int) -> Cache:
    """A cache whose numbers tell their row: past is row * 1000 + position, source is the sentence."""
    source = torch.arange(B, dtype=torch.float).view(B, 1, 1, 1, 1, 1).expand(B, L, 2, G, S, K).contiguous()
    may_attend = torch.arange(S).view(1, 1, 1, S) < torch.arange(2, 2 + B).view(B, 1, 1, 1)
    cache = Cache(source, may_attend)
    cache.expand(count)
    for position in range(length):
        cache.make_room()
        cache.past[:, position] = (torch.arange(cache.rows) * 1000 + position).view(-1, 1, 1, 1, 1).float()
        cache.length += 1
    return cache


def rows_of(cache: Cache) -> list[int]:
    """The row that each row was at first, read from all its positions."""
    wanted = torch.arange(cache.length).view(1, -1, 1, 1, 1, 1)
    origins = (cache.past[:, : cache.length] - wanted) / 1000
    assert bool((origins == origins[:, :1, :1, :1, :1, :1]).all())
    return [int(number) for number in origins[:, 0, 0, 0, 0, 0]]


def test_each_sentence_gets_its_rows_side_by_side_and_one_source() -> None:
    cache = filled(4, 1)
    assert (cache.rows, cache.hypotheses) == (12, 4)
    assert cache.source.shape == (B, L, 2, G, S, K)


def test_room_is_made_without_losing_what_was_written() -> None:
    cache = filled(2, 2 * FIRST_CAPACITY + 1)
    assert cache.past.size(1) == 4 * FIRST_CAPACITY
    assert rows_of(cache) == list(range(6))


def test_reordering_inside_sentences_moves_rows_and_no_source() -> None:
    cache = filled(2, 3)
    source = cache.source
    cache.select(torch.tensor([1, 0, 2, 2, 5, 5]))
    assert rows_of(cache) == [1, 0, 2, 2, 5, 5]
    assert cache.source is source


def test_sentences_that_leave_take_their_source_with_them() -> None:
    cache = filled(2, 3)
    cache.select(torch.tensor([5, 4, 1, 1]))
    assert rows_of(cache) == [5, 4, 1, 1]
    assert cache.source[:, 0, 0, 0, 0, 0].tolist() == [2.0, 0.0]
    assert cache.may_attend is not None
    assert cache.may_attend.sum(-1).flatten().tolist() == [4, 2]
    assert cache.hypotheses == 2


def test_many_reorderings_add_up() -> None:
    cache, expected = filled(3, 2), list(range(9))
    for rows in ([2, 1, 0, 3, 3, 3, 8, 7, 6], [0, 0, 1, 6, 7, 8], [3, 4, 5], [0, 2, 2]):
        cache.select(torch.tensor(rows))
        expected = [expected[row] for row in rows]
        assert rows_of(cache) == expected


def test_growth_after_a_reordering_keeps_the_new_order() -> None:
    cache = filled(2, FIRST_CAPACITY)
    cache.select(torch.tensor([1, 0, 3, 3, 4, 5]))
    cache.make_room()
    assert rows_of(cache) == [1, 0, 3, 3, 4, 5]
    cache.select(torch.tensor([0, 0, 2, 3]))
    assert rows_of(cache) == [1, 1, 3, 3]


def test_everybody_may_leave() -> None:
    cache = filled(2, 3)
    cache.select(torch.tensor([], dtype=torch.long))
    assert (cache.rows, cache.source.size(0)) == (0, 0)
