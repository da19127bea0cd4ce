import json
from pathlib import Path

import pytest

from mtkit.config.search import TranslateSettings
from mtkit.errors import DataError
from mtkit.files import read_json, read_lines, write_lines
from mtkit.log import RunContext
from mtkit.translation.stage import TranslateInputs, translate_corpus
from mtkit.translation.translator import Translator

SOURCE = ["one light", "a very very long line of words that does not fit. And more.", "two lights"]
REFERENCE = ["ONE LIGHT", "REFERENCE", "TWO LIGHTS"]


@pytest.fixture
def inputs(tmp_path: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch) -> TranslateInputs:
    write_lines(tmp_path / "corpus" / "test.source", SOURCE)
    write_lines(tmp_path / "corpus" / "test.target", REFERENCE)
    write_lines(tmp_path / "corpus" / "valid.source", [])
    write_lines(tmp_path / "corpus" / "valid.target", [])
    monkeypatch.setattr(Translator, "open", lambda *_, **__: translator)
    return TranslateInputs(tmp_path / "corpus", tmp_path / "train")


def test_sources_references_and_hypotheses_stay_in_step(tmp_path: Path, inputs: TranslateInputs) -> None:
    translate_corpus(TranslateSettings(), inputs, tmp_path / "out", RunContext(quiet=True))
    out = tmp_path / "out"
    assert list(read_lines(out / "source")) == SOURCE
    assert list(read_lines(out / "reference")) == REFERENCE
    assert list(read_lines(out / "hypotheses")) == [line.upper() for line in SOURCE]
    records = [json.loads(line) for line in read_lines(out / "hypotheses.jsonl")]
    assert [(record["line"], record["translation"]) for record in records] == [
        (number, line.upper()) for number, line in enumerate(SOURCE, start=1)
    ]
    summary = read_json(out / "translate.json")
    assert summary["sentences"] == 3
    assert summary["split"] == "test"
    assert summary["flags"] == {"truncated": 0, "split": 1, "repeated": 0}
    assert summary["seconds"] >= 0


def test_an_empty_split_is_refused(tmp_path: Path, inputs: TranslateInputs) -> None:
    with pytest.raises(DataError, match="0 source and 0 target"):
        translate_corpus(TranslateSettings(split="valid"), inputs, tmp_path / "out", RunContext(quiet=True))
