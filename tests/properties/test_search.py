"""Laws of the parts of search over many inputs."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.search import Sampling
from mtkit.search.banned import automaton
from mtkit.search.batching import padded
from mtkit.search.constraints import forbid_repeats
from mtkit.search.demands import Banned
from mtkit.search.grouping import token_batches
from mtkit.search.length import length_penalty
from mtkit.search.sampling import draw, uniforms
from mtkit.search.step import NEIGHBOURS, best_candidates, first_of_best, first_of_each

few = settings(max_examples=60, deadline=None)


@few
@given(st.integers(0, 300), st.integers(1, 50), st.floats(0, 3))
def test_the_penalty_is_at_least_as_large_for_a_longer_text(tokens: int, more: int, alpha: float) -> None:
    assert length_penalty(tokens + more, alpha) >= length_penalty(tokens, alpha) > 0


@few
@given(st.integers(1, 300), st.floats(0, 3))
def test_a_penalty_never_worsens_a_text_of_one_token_or_more(tokens: int, alpha: float) -> None:
    assert -1.0 / length_penalty(tokens, alpha) >= -1.0


@few
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 120))
def test_every_sentence_is_in_exactly_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        widest = max(lengths[number] for number in batch)
        assert len(batch) == 1 or widest * len(batch) <= budget


@few
@given(st.lists(st.lists(st.integers(4, 99), max_size=9), min_size=1, max_size=9))
def test_padded_sentences_can_be_read_back(sentences: list[list[int]]) -> None:
    ids, is_token = padded(sentences, torch.device("cpu"))
    assert [row[mask].tolist() for row, mask in zip(ids, is_token, strict=True)] == sentences
    assert not ids[~is_token].any()


@few
@given(
    st.integers(1, 4).flatmap(
        lambda rows: st.lists(
            st.lists(st.integers(-3, 3), min_size=11, max_size=11), min_size=rows, max_size=rows
        )
    ),
    st.integers(1, 11),
)
def test_the_first_of_the_best_are_those_of_a_sort_by_value_then_place(
    rows: list[list[int]], count: int
) -> None:
    values, places = first_of_best(torch.tensor(rows, dtype=torch.float), count)
    for row, value, place in zip(rows, values.tolist(), places.tolist(), strict=True):
        wanted = sorted(range(len(row)), key=lambda number: (-row[number], number))[:count]
        assert place == wanted
        assert value == [row[number] for number in wanted]


@few
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 2 * NEIGHBOURS + 3), st.integers(1, 40))
def test_the_first_of_each_row_is_the_first_of_its_largest(
    seed: int, rows: int, size: int, most: int
) -> None:
    scores = torch.randint(most, (rows, size), generator=torch.Generator().manual_seed(seed)).float()
    values, places = first_of_each(scores)
    for row, value, place in zip(scores.tolist(), values.tolist(), places.tolist(), strict=True):
        assert (value, place) == (max(row), row.index(max(row)))


@few
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4), st.integers(5, 13) | st.integers(30, 140))
def test_a_step_takes_the_best_of_all_continuations(seed: int, sentences: int, beam: int, size: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(sentences * beam, size, generator=draw)
    totals = -torch.rand(sentences, beam, generator=draw)
    candidates = best_candidates(logits, totals, beam)
    probabilities = logits.double().softmax(-1).view(sentences, beam, size)
    for row in range(sentences):
        every = sorted(
            (-float(totals[row, n].double() + probabilities[row, n, i].log()), n, i)
            for n in range(beam)
            for i in range(3, size)
        )[:beam]
        chosen = zip(candidates.totals[row], candidates.parents[row], candidates.ids[row], strict=True)
        for (value, parent, number), (total, n, i) in zip(every, chosen, strict=True):
            assert math.isclose(-value, float(total), abs_tol=1e-5)
            assert (parent, number) == (int(n), int(i))
    assert bool((candidates.totals <= totals.max(1, keepdim=True).values).all())


@few
@given(st.lists(st.integers(4, 7), max_size=9), st.integers(1, 4))
def test_only_what_would_repeat_a_run_is_forbidden(ids: list[int], length: int) -> None:
    scores = torch.zeros(1, 1, 9)
    forbid_repeats(scores, torch.tensor([[ids]], dtype=torch.long).view(1, 1, -1), length)
    runs = {tuple(ids[at : at + length]) for at in range(len(ids) - length + 1)}
    for number in range(3, 9):
        repeats = (tuple([*ids, number][-length:]) in runs) and len(ids) + 1 >= length
        assert bool(scores[0, 0, number].isneginf()) == repeats


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.3, 3.0),
    top_k=st.none() | st.integers(2, 12),
    top_p=st.none() | st.floats(0.05, 0.95),
)


@few
@given(st.lists(st.floats(-6, 3), min_size=9, max_size=9), SAMPLINGS)
def test_every_id_is_drawn_as_often_as_its_share(logits: list[float], sampling: Sampling) -> None:
    grid = torch.linspace(0, 1, 2001, dtype=torch.double)[:-1]
    scores = torch.tensor(logits).expand(len(grid), -1)
    counts = draw(scores, sampling, grid).bincount(minlength=9).tolist()
    exact = torch.tensor(logits).tolist()  # in single precision
    values = [math.exp(value / sampling.temperature) for value in exact]
    best = sorted(range(9), key=lambda one: (-exact[one], one))[: sampling.top_k]
    kept: list[int] = []
    total = sum(values[one] for one in best)
    for one in best:
        if sampling.top_p is None or sum(values[k] for k in kept) < sampling.top_p * total - 1e-9:
            kept.append(one)
    mass = sum(values[one] for one in kept)
    for one in range(9):
        share = values[one] / mass if one in kept else 0.0
        assert abs(counts[one] - share * len(grid)) <= 1.01


@few
@given(st.integers(0, 2**40), st.lists(st.integers(4, 30000), max_size=9), st.integers(0, 50))
def test_random_numbers_of_a_line_are_its_own_and_more_begin_with_the_same(
    seed: int, source: list[int], number: int
) -> None:
    few_numbers, more = uniforms(3, seed, number, source), uniforms(9, seed, number, source)
    assert more[:3] == few_numbers
    assert all(0 <= value < 1 for value in more)
    assert uniforms(3, seed, number + 1, source) != few_numbers
    assert uniforms(3, seed + 1, number, source) != few_numbers


@few
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "ba", " a", " b", " ", "bb"]), max_size=8),
    st.lists(st.text(alphabet="ab ", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=3),
)
def test_a_piece_is_banned_where_the_text_would_appear(said: list[str], texts: list[str]) -> None:
    pieces = ["a", "b", "ab", "ba", " a", " b", " ", "bb"]
    spelt = (b"", b"", b"", b"", *(piece.encode() for piece in pieces))
    found = automaton(Banned((), tuple(text.encode() for text in texts), spelt), torch.device("cpu"))
    so_far: list[str] = []
    for piece in said:  # only what was allowed is ever read
        ids = torch.tensor([4 + pieces.index(one) for one in so_far], dtype=torch.long)
        banned = found.completes[found.state(ids)]
        for number, other in enumerate(pieces, start=4):
            before, after = " " + "".join(so_far), " " + "".join([*so_far, other])  # a word begins
            assert not any(text in before for text in texts)
            assert bool(banned[number]) == any(text in after for text in texts)
        if not banned[4 + pieces.index(piece)]:
            so_far.append(piece)
