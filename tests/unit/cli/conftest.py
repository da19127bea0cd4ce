from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.stand_ins import write_model
from mtkit.config.search import SearchSettings
from mtkit.config.subword import SubwordSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.learn import SubwordInputs, learn_subword


@pytest.fixture(autouse=True)
def _no_lulls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is piped in is translated in the same windows, however slowly it arrives."""
    monkeypatch.setattr("mtkit.translation.arrivals.PATIENCE_SECONDS", 100.0)


@pytest.fixture(scope="session")
def make_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SubwordSettings], Path]:
    """Writes a model folder whose model has learnt nothing, with a vocabulary of its own."""

    def make(subword: SubwordSettings) -> Path:
        folder = tmp_path_factory.mktemp("tiny")
        lines = [f"the lamp is {word}." for word in ("on", "off", "open", "closed", "new", "old")] * 20
        for side in ("source", "target"):
            write_lines(folder / "corpus" / f"train.{side}", lines)
        learn_subword(subword, SubwordInputs(folder / "corpus"), folder / "subword", RunContext(quiet=True))
        return write_model(
            folder / "model",
            folder / "subword",
            seed=2,  # one that makes up letters rather than nothing
            source_language="en",
            target_language="en",
            normalize="nfc",
            max_tokens=32,
            decoding=SearchSettings(beam_size=2, max_length_factor=0.5, max_length_extra=5),
        )

    return make


@pytest.fixture(scope="session")
def tiny_model(make_tiny_model: Callable[[SubwordSettings], Path]) -> Path:
    """A model folder whose model has learnt nothing, for what must hold of any model."""
    return make_tiny_model(SubwordSettings(pieces=285))
