"""A made-up language whose dictionary is known is learnt back from its sentences."""

import random

import numpy as np
import pytest

from mtkit.export import lexicon as module
from mtkit.export.lexicon import Lexicon, learn_lexicon

SIZE = 30
FUNCTION = 0  # a target piece that stands in every sentence and comes from nothing


def sentences(seed: int = 1, count: int = 400) -> tuple[list[list[int]], list[list[int]]]:
    """Source ids, and targets: each piece n becomes 100 + n, the order is turned round in half of them."""
    draw = random.Random(seed)
    sources = [draw.sample(range(SIZE), draw.randint(1, 6)) for _ in range(count)]
    targets = [[100 + one for one in (ids[::-1] if draw.random() < 0.5 else ids)] for ids in sources]
    return sources, [[FUNCTION, *ids] for ids in targets]


def best(lexicon: Lexicon, most: int = 1) -> dict[int, list[int]]:
    return dict(lexicon.candidates(most))


def test_every_piece_becomes_its_translation_and_nothing_becomes_what_stands_everywhere() -> None:
    lexicon = learn_lexicon(*sentences(), SIZE)
    found = best(lexicon)
    assert found.pop(lexicon.nothing) == [FUNCTION]
    assert found == {one: [100 + one] for one in range(SIZE)}
    assert lexicon.frequent[0] == FUNCTION
    assert set(lexicon.frequent) == {FUNCTION, *range(100, 100 + SIZE)}


def test_the_translations_of_a_piece_have_the_probability_one_together_the_best_first() -> None:
    lexicon = learn_lexicon(*sentences(), SIZE)
    assert np.bincount(lexicon.source, lexicon.probability) == pytest.approx(np.ones(SIZE + 1))
    same = lexicon.source[1:] == lexicon.source[:-1]
    assert (np.diff(lexicon.probability)[same] <= 0).all()


def test_fewer_candidates_are_the_first_of_more() -> None:
    lexicon = learn_lexicon(*sentences(), SIZE)
    few, many = best(lexicon, 2), best(lexicon, 5)
    assert {one: some[:2] for one, some in many.items()} == few
    assert max(map(len, many.values())) == 5


def test_pairs_with_a_blank_side_teach_nothing() -> None:
    sources, targets = sentences(count=50)
    whole = learn_lexicon(sources, targets, SIZE)
    more = learn_lexicon([[1], *sources, []], [[], *targets, [7]], SIZE)
    assert more.pairs == whole.pairs == 50
    assert more.probability.tolist() == whole.probability.tolist()


def test_a_pair_with_a_very_long_side_teaches_nothing_and_takes_nobodys_place() -> None:
    sources, targets = sentences(count=50)
    long = [1] * (module.LONGEST_SIDE + 1)
    whole = learn_lexicon(sources, targets, SIZE)
    more = learn_lexicon([long, *sources, [2]], [[100], *targets, long], SIZE)
    assert more.pairs == whole.pairs == 50
    assert more.probability.tolist() == whole.probability.tolist()


def test_of_a_large_corpus_pairs_from_all_of_it_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = sentences()
    cells = sum((len(one) + 1) * len(other) for one, other in zip(sources, targets, strict=True))
    wanted = learn_lexicon(sources[::4], targets[::4], SIZE)
    monkeypatch.setattr(module, "MOST_CELLS", cells // 4 + 1)
    lexicon = learn_lexicon(sources, targets, SIZE)
    assert lexicon.pairs == 100
    assert lexicon.probability.tolist() == wanted.probability.tolist()


def test_a_place_is_aligned_to_the_like_place_first() -> None:
    prior = module._prior(4, 4)
    assert prior.sum(1) == pytest.approx(np.ones(4), abs=1e-6)
    assert prior[:, 1:].argmax(1).tolist() == [0, 1, 2, 3]
    assert prior[:, 0] == pytest.approx(np.full(4, module.FROM_NOTHING))
