"""Tiny recipes and a few kinds of stage for the tests of this room."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mtkit.config.corpus import CorpusSettings
from mtkit.config.kind import Kind
from mtkit.config.scoring import ScoreSettings
from mtkit.config.search import TranslateSettings
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import TrainSettings

TINY = """\
recipe: tiny
source: de
target: en
stages:
  corpus: {train: {dataset: texts}}
  subword: {pieces: 300}
  train:
    until: {updates: 9000}
    model: {dim: 64, heads: 4}
  translate: {beam_size: 4}
  score: {}
"""


def _kind(name: str, settings: type, reads: Mapping[str, str]) -> Kind:
    return Kind(name, 1, settings, f"nowhere:{name}", f"the {name} stage", reads)


@pytest.fixture
def kinds() -> dict[str, Kind]:
    made = [
        _kind("corpus", CorpusSettings, {}),
        _kind("subword", SubwordSettings, {"corpus": "corpus"}),
        _kind("train", TrainSettings, {"corpus": "corpus", "subword": "subword"}),
        _kind("translate", TranslateSettings, {"corpus": "corpus", "train": "train"}),
        _kind("score", ScoreSettings, {"translate": "translate"}),
    ]
    return {kind.name: kind for kind in made}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a recipe into an empty folder and work there; the path is relative."""
    monkeypatch.chdir(tmp_path)

    def make(text: str = TINY, name: str = "recipe.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make
