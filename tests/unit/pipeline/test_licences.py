"""A licence that is corrected in a dataset's card makes nothing anew, and stands right in what is written."""

from pathlib import Path

import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.files import read_json, read_text, write_json, write_lines, write_text
from mtkit.log import RunContext
from mtkit.model.folder import ModelCard, read_card, write_card
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.run_model import write_model
from mtkit.pipeline.runner import run
from mtkit.pipeline.runs import open_run
from mtkit.pipeline.store import Store

CARD = """\
name: own
about: a few lines
languages: [aa, bb]
licence: {licence}
attribution: {by}
parts:
  - {{name: train, split: train, source: {{kind: path, path: "train.{{language}}"}}, reader: {{kind: lines}}}}
  - {{name: valid, split: valid, source: {{kind: path, path: "valid.{{language}}"}}, reader: {{kind: lines}}}}
"""
RECIPE = """\
recipe: toy
about: a toy
source: aa
target: bb
stages:
  corpus: {train: {dataset: own.yaml}, valid: {dataset: own.yaml, split: valid}, test: {dataset: own.yaml, split: valid}}
  subword: {pieces: 280}
  train: {until: {updates: 1000}, schedule: {warmup_updates: 1}}
"""  # noqa: E501  # as people write it
CORRECTED = [{"dataset": "own", "licence": "MIT", "attribution": "somebody else"}]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    for name in ("train", "valid"):
        for language in ("aa", "bb"):
            write_lines(tmp_path / f"{name}.{language}", [f"{name} {language} {row}" for row in range(9)])
    write_text(tmp_path / "own.yaml", CARD.format(licence="CC0-1.0", by="me"))
    write_text(tmp_path / "toy.yaml", RECIPE)
    return read_recipe(tmp_path / "toy.yaml", KINDS)


def test_a_corrected_licence_is_told_of_a_stored_corpus(recipe: Recipe, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs" / "store")
    result = run(recipe, "corpus", store, RunContext(quiet=True))
    assert "- own: CC0-1.0. me" in read_text(result.folder / "report.md")
    write_text(tmp_path / "own.yaml", CARD.format(licence="MIT", by="somebody else"))
    again = run(recipe, "corpus", store, RunContext(quiet=True))
    assert again.lines == ("corpus  stored",)
    assert "- own: MIT. somebody else" in read_text(again.folder / "report.md")
    # another corpus of the dataset, whose pairs lie in the cache
    other = read_recipe(tmp_path / "toy.yaml", KINDS, ["stages.corpus.limit=5"])
    made = run(other, "corpus", store, RunContext(quiet=True))
    assert made.lines == ("corpus  to run, because stages.corpus.limit null → 5",)
    assert read_json(made.folder / "corpus" / "corpus.json")["licences"] == CORRECTED


def test_a_corrected_licence_stands_in_the_runs_model(recipe: Recipe, tmp_path: Path) -> None:
    run(recipe, "subword", store := Store(tmp_path / "runs" / "store"), RunContext(quiet=True))
    noted = open_run(tmp_path / "runs", "toy")
    shape = ModelSettings()
    card = ModelCard(
        architecture=shape, source_language="aa", target_language="bb", normalize="nfc", source_size=5,
        target_size=5, provenance={"data": [{"dataset": "own", "licence": "CC0-1.0", "attribution": "me"}]},
    )  # fmt: skip
    write_text(store.root / "train-made" / "model" / "model.safetensors", "weights")
    write_card(store.root / "train-made" / "model", card)
    inputs = {name: stage["fingerprint"] for name, stage in noted.stages.items()}
    trained = {
        "kind": "train", "folder": "train-made", "finished": "2026-01-01", "fingerprint": "made",
        "inputs": inputs, "reads": {name: name for name in inputs}, "settings": {},
    }  # fmt: skip
    noted.manifest["stages"]["train"] = trained
    write_json(noted.path / "manifest.json", noted.manifest)
    write_text(tmp_path / "own.yaml", CARD.format(licence="MIT", by="somebody else"))
    write_model(noted, recipe)
    assert read_card(noted.path / "model").provenance["data"] == CORRECTED
