"""A small corpus stage and vocabularies learnt from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword

NOUNS = ["hund", "katze", "straße", "tür", "garten", "wagen", "brücke", "schule"]
VERBS = ["läuft", "springt", "wartet", "schläft", "singt", "bellt", "wächst"]
SYLLABLES = ["ka", "lo", "mi", "ter", "ben", "su", "ran", "del", "vor", "ein", "aus", "zu", "heit"]
SENTENCES = 400


def name(row: int) -> str:
    """One of many made-up words, so that there is something to learn."""
    return "".join(SYLLABLES[row * factor // 7 % 13] for factor in (3, 5, 11))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for side, article in (("source", "der"), ("target", "the")):
        write_lines(
            folder / f"train.{side}",
            (
                f"{article} {NOUNS[row % 8]} {VERBS[row % 7]} {row % 37} mal , {name(row)} !"
                for row in range(SENTENCES)
            ),
        )
    return folder


@pytest.fixture(scope="session")
def learn(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[SubwordSettings], Path]:
    def learned(settings: SubwordSettings) -> Path:
        out = tmp_path_factory.mktemp("subword")
        learn_subword(settings, SubwordInputs(corpus), out, RunContext(quiet=True))
        return out

    return learned


@pytest.fixture(scope="session")
def bpe(learn: Callable[[SubwordSettings], Path]) -> Subword:
    return Subword.load(learn(SubwordSettings(pieces=340)))


@pytest.fixture(scope="session")
def unigram(learn: Callable[[SubwordSettings], Path]) -> Subword:
    return Subword.load(learn(SubwordSettings(pieces=310, algorithm="unigram")))
