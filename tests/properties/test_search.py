"""Laws of the parts of search over many inputs."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.search.batching import padded
from mtkit.search.grouping import token_batches
from mtkit.search.length import length_penalty
from mtkit.search.step import best_candidates, first_of_best

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
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4), st.integers(5, 13))
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
