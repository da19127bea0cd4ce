import torch

from mtkit.model.cache import FIRST_CAPACITY, Cache

B, L, G, S, K = 3, 2, 5, 7, 4


def filled(count: int, length: int) -> Cache:
    """A cache whose numbers tell their row: past is row * 1000 + position, source is the sentence."""
    source = torch.arange(B, dtype=torch.float).view(1, 1, B, 1, 1, 1).expand(L, 2, B, G, S, K).contiguous()
    may_attend = torch.arange(S).view(1, 1, 1, S) < torch.arange(2, 2 + B).view(B, 1, 1, 1)
    cache = Cache(source, may_attend)
    cache.expand(count)
    for position in range(length):
        write(cache, torch.arange(cache.rows) * 1000 + position)
    return cache


def write(cache: Cache, numbers: torch.Tensor) -> None:
    """One more position, a number a row."""
    cache.make_room()
    for past in cache.past:
        past[:, cache.used] = numbers.view(-1, cache.hypotheses, 1, 1, 1).float()
    cache.advance()


def numbers_of(cache: Cache) -> list[list[int]]:
    """What each row sees in the first layer, in the order of the positions; all layers are alike."""
    count = cache.hypotheses
    found = []
    for sentence in range(cache.source.size(2)):
        layers = [past[sentence].flatten(0, 1)[: cache.used * count] for past in cache.past]
        assert torch.equal(layers[0], layers[1])
        seen = cache._sees[sentence, :, : cache.used * count]
        if cache.seen is None:
            seen = torch.ones_like(seen)
        for sees in seen:
            values = layers[0][sees]
            assert bool((values == values[:, :1, :1, :1]).all())
            found.append(sorted(map(int, values[:, 0, 0, 0].tolist()), key=lambda number: number % 1000))
    return found


def rows_of(cache: Cache) -> list[int]:
    """The row that each row was at first, read from all its positions."""
    found = numbers_of(cache)
    for numbers in found:
        assert [number - numbers[0] for number in numbers] == list(range(cache.length))
    return [numbers[0] // 1000 for numbers in found]


def test_each_sentence_gets_its_rows_side_by_side_and_one_source() -> None:
    cache = filled(4, 1)
    assert (cache.rows, cache.hypotheses) == (12, 4)
    assert cache.source.shape == (L, 2, B, G, S, K)


def test_what_one_hypothesis_has_read_is_shared_out() -> None:
    cache = filled(1, 1)
    for past in cache.past:
        past[:, 1:] = torch.nan  # what was never written may be anything
    cache.expand(3)
    assert numbers_of(cache) == [[0]] * 3 + [[1000]] * 3 + [[2000]] * 3
    assert not any(bool(past[:, 0].isnan().any()) for past in cache.past)
    write(cache, torch.arange(9) * 1000 + 1)
    cache.select(torch.tensor([8, 6, 6, 0, 2, 1]))
    assert numbers_of(cache) == [[2000, 8001], [2000, 6001], [2000, 6001], [0, 1], [0, 2001], [0, 1001]]


def test_room_is_made_without_losing_what_was_written() -> None:
    cache = filled(2, 2 * FIRST_CAPACITY + 1)
    assert cache.past[0].size(1) == 4 * FIRST_CAPACITY
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
    assert cache.source[0, 0, :, 0, 0, 0].tolist() == [2.0, 0.0]
    assert cache.padding is not None
    assert cache.padding.isfinite().sum(-1).flatten().tolist() == [4, 2]
    assert cache.hypotheses == 2


def test_many_reorderings_add_up() -> None:
    cache, expected = filled(3, 2), list(range(9))
    for rows in ([2, 1, 0, 3, 3, 3, 8, 7, 6], [0, 0, 1, 6, 7, 8], [3, 4, 5], [0, 2, 2]):
        cache.select(torch.tensor(rows))
        expected = [expected[row] for row in rows]
        assert rows_of(cache) == expected


def test_places_that_nobody_sees_any_more_are_given_up_and_nothing_else() -> None:
    cache = filled(3, 0)
    expected: list[list[int]] = [[] for _ in range(9)]
    for position in range(3 * FIRST_CAPACITY):
        expected = [[*numbers, row * 1000 + position] for row, numbers in enumerate(expected)]
        write(cache, torch.arange(9) * 1000 + position)
        rows = [0, 0, 1, 4, 4, 3, 8, 6, 8]  # soon all hypotheses of a sentence have one past
        cache.select(torch.tensor(rows))
        expected = [expected[row] for row in rows]
    assert cache.length == 3 * FIRST_CAPACITY
    assert cache.used < cache.past[0].size(1) == 2 * FIRST_CAPACITY
    assert numbers_of(cache) == expected


def test_greedy_search_sees_all_that_it_wrote() -> None:
    cache = filled(1, 3)
    cache.make_room()
    assert cache.seen is None
    cache.select(torch.tensor([2, 0]))
    assert rows_of(cache) == [2, 0]


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
    assert (cache.rows, cache.source.size(2)) == (0, 0)
