import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.subword import SubwordSettings
from mtkit.config.training import SubwordSampling
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.subword.segmenting import DroppingMerges, Pieces, SampledLattice

USER_DEFINED = ["{x}", "ß", "{xx}", "und"]
TRICKY = [
    *USER_DEFINED,
    "▁",
    "⁇",
    "<s>",
    "<unk>",
    "<0x41>",
    "\u200d",
    "日本",
    "日",
    "𝄞",
    "e\u0301",
    "\x1a",
    "{{x}",
]
LEARNT = ["der", "hund", "über", "abab", "aaaa", "brücke", "12"]
TEXTS = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from([*TRICKY, *LEARNT, " ", "  "])), max_size=12
).map(lambda parts: "".join("".join(parts).splitlines()).replace("\x00", ""))
SHARP = SubwordSampling(temperature=1e6)
NEVER = SubwordSampling(probability=0.0)

Learn = Callable[..., Subword]


@pytest.fixture(scope="module")
def learn(tmp_path_factory: pytest.TempPathFactory) -> Learn:
    corpus: Path = tmp_path_factory.mktemp("corpus")
    for side in ("source", "target"):
        write_lines(
            corpus / f"train.{side}",
            (
                f"der {chr(98 + row % 20)}und{row % 7} {chr(98 + row * 7 % 20)}über"
                f" {'ab' * (row % 5)} aaaa{'a' * (row % 3)} brücke"
                for row in range(200)
            ),
        )
    learned: dict[tuple[object, ...], Subword] = {}

    def once(algorithm: str, fallback: bool, user_defined: tuple[str, ...] = tuple(USER_DEFINED)) -> Subword:
        key = (algorithm, fallback, user_defined)
        if key not in learned:
            out = tmp_path_factory.mktemp("subword")
            asked = {
                "pieces": (256 if fallback else 0) + (58 if user_defined else 75),
                "algorithm": algorithm,
                "byte_fallback": fallback,
                "user_defined": list(user_defined),
            }
            settings = SubwordSettings.model_validate(asked)
            learn_subword(settings, SubwordInputs(corpus), out, RunContext(quiet=True))
            learned[key] = Subword.load(out)
        return learned[key]

    return once


@pytest.mark.parametrize("fallback", [True, False])
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_bpe_that_leaves_no_merge_out_is_sentencepieces(learn: Learn, fallback: bool, text: str) -> None:
    for user_defined in ((), tuple(USER_DEFINED)):
        subword = learn("bpe", fallback, user_defined)
        assert subword.sample([text], "source", NEVER, 1) == subword.encode([text], "source")


@pytest.mark.parametrize("fallback", [True, False])
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_the_sharpest_draw_from_a_lattice_is_sentencepieces(learn: Learn, fallback: bool, text: str) -> None:
    subword = learn("unigram", fallback, ())
    (drawn,), (best,) = (subword.sample([text], "source", SHARP, 1), subword.encode([text], "source"))
    if drawn != best:  # only among equals
        assert score(subword, drawn) == pytest.approx(score(subword, best), abs=1e-4)
        assert len(drawn) == len(best)


def score(subword: Subword, ids: list[int]) -> float:
    processor = subword._processors["source"]
    return math.fsum(processor.get_score(one) for one in ids)


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@settings(max_examples=50, deadline=None)
@given(text=TEXTS, seed=st.integers(0, 2**70), strong=st.booleans())
def test_sampling_changes_no_text(learn: Learn, algorithm: str, text: str, seed: int, strong: bool) -> None:
    subword = learn(algorithm, True)
    strength = {"bpe": {"probability": 0.7}, "unigram": {"temperature": 0.01}}[algorithm] if strong else {}
    sampling = SubwordSampling.model_validate(strength)
    sampled = subword.sample([text, text], "source", sampling, seed)
    assert subword.decode_all(sampled, "source") == subword.decode_all(
        subword.encode([text, text], "source"), "source"
    )


def test_user_defined_pieces_stay_whole_in_a_lattice(learn: Learn) -> None:
    subword = learn("unigram", True)
    flat = SubwordSampling(temperature=0.01)
    for ids in subword.sample(["hund{x}ß{xx} und"] * 50, "source", flat, 2):
        found = [piece for piece in subword.pieces(ids, "source") if piece in USER_DEFINED]
        assert found == ["und", "{x}", "ß", "{xx}", "und"]


class MadeUp:
    """Stands for a SentencePiece model of a few pieces that overlap."""

    learnt: ClassVar[dict[str, float]] = {
        "▁": -2.0,
        "a": -1.5,
        "b": -2.5,
        "aa": -3.0,
        "ab": -2.0,
        "aab": -4.5,
        "▁a": -1.0,
        "▁aa": -3.5,
    }

    def get_piece_size(self) -> int:
        return 2 + len(self.learnt)

    def id_to_piece(self, number: int) -> str:
        return ["<pad>", "<unk>", *self.learnt][number]

    def get_score(self, number: int) -> float:
        return [0.0, 0.0, *self.learnt.values()][number]

    def is_byte(self, number: int) -> bool:
        return False

    def is_control(self, number: int) -> bool:
        return number == 0

    def is_unknown(self, number: int) -> bool:
        return number == 1


def test_segmentations_come_as_often_as_their_scores_say() -> None:
    pieces = Pieces(MadeUp())
    word, alpha, draws = "aaab", 0.4, 20_000
    weights = {
        tuple(one for piece in way for one in pieces.spell(piece)): math.exp(
            alpha * sum(pieces.scores[piece] for piece in way)
        )
        for way in ways("▁" + word, set(pieces.scores))
    }
    assert len(weights) > 8
    total = sum(weights.values())
    drawn = Counter(map(tuple, SampledLattice(pieces, alpha).sample([word] * draws, 3)))
    assert set(drawn) <= set(weights)
    expected = {way: draws * weight / total for way, weight in weights.items()}
    distance = sum((drawn[way] - mean) ** 2 / mean for way, mean in expected.items())
    freedom = len(weights) - 1
    assert distance < freedom + 5 * math.sqrt(2 * freedom), (
        "further off than chance: 5 deviations of chi-square"
    )


def ways(text: str, known: set[str]) -> Iterator[tuple[str, ...]]:
    if not text:
        yield ()
    for end in range(1, len(text) + 1):
        if text[:end] in known:
            yield from ((text[:end], *rest) for rest in ways(text[end:], known))


def test_merges_are_left_out_as_often_as_asked(learn: Learn) -> None:
    # Of a word that merges to one piece, the best segmentation comes only if no merge is left out.
    pieces = Pieces(learn("bpe", True)._processors["source"])
    word, draws = "über", 20_000
    merges = len(word)
    sampler = DroppingMerges(pieces, 0.2)
    assert sampler._replay("▁" + word, ()).decisions == merges - 1
    best = sampler._replay("▁" + word, ()).ids
    share = sum(tuple(ids) == best for ids in sampler.sample([word] * draws, 3)) / draws
    expected = 0.8 ** (merges - 1)
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_what_is_remembered_changes_nothing(
    learn: Learn, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["der hund über aaaa{x}und ababab brücke12"] * 50 + ["brückeüber" * 9]
    subword = learn(algorithm, True)
    remembered = subword.sample(lines, "source", SubwordSampling(), 4)
    monkeypatch.setattr("mtkit.subword.segmenting.LONGEST_REMEMBERED", 0)
    assert subword.sample(lines, "source", SubwordSampling(), 4) == remembered
