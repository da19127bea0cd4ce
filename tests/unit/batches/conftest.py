"""A small corpus stage with vocabularies and an id store of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.batches.store import IdStore, write_ids
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import FixedTrainSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword

WORDS = ["der", "hund", "läuft", "schnell", "über", "die", "straße", "und", "wartet", "vor", "dem", "haus"]
SENTENCES = 300


def sentence(row: int) -> str:
    return " ".join(WORDS[(row * 7 + place * (row % 5 + 1)) % 12] for place in range(1 + row * row % 13))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_lines(folder / "train.source", (sentence(row) for row in range(SENTENCES)))
    write_lines(folder / "train.target", (sentence(row) + f" {row}" for row in range(SENTENCES)))
    return folder


@pytest.fixture(scope="session")
def subword(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Subword:
    out = tmp_path_factory.mktemp("subword")
    learn_subword(SubwordSettings(pieces=310), SubwordInputs(corpus), out, RunContext(quiet=True))
    return Subword.load(out)


@pytest.fixture(scope="session")
def store(corpus: Path, subword: Subword, tmp_path_factory: pytest.TempPathFactory) -> IdStore:
    folder = tmp_path_factory.mktemp("ids")
    write_ids(corpus, subword, folder, max_tokens=96)
    return IdStore.open(folder)


@pytest.fixture(scope="session")
def train_settings() -> Callable[..., FixedTrainSettings]:
    def made(**values: object) -> FixedTrainSettings:
        return FixedTrainSettings.model_validate(
            {"batch_tokens": 256, "max_tokens": 96, "until": {"updates": 1000}, **values}
        )

    return made
