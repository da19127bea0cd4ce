from pathlib import Path

import pytest

from mtkit.config.scoring import Confidence, ScoreSettings
from mtkit.errors import DataError
from mtkit.files import read_json, write_json, write_lines
from mtkit.log import EventWriter, RunContext, read_events
from mtkit.scoring.metrics import score
from mtkit.scoring.stage import ScoreInputs, score_translations

HYPOTHESES = ["The light is on.", "Select a device to add."]
REFERENCE = ["The light is on.", "Choose a device to add."]


def translated(folder: Path, reference: list[str]) -> Path:
    write_lines(folder / "hypotheses", HYPOTHESES)
    write_lines(folder / "reference", reference)
    write_json(folder / "translate.json", {"split": "valid"})
    return folder


def test_scores_are_written_with_signature_split_and_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ScoreSettings(metrics=["chrf", "bleu"], confidence=Confidence(resamples=20))
    run = RunContext(events=EventWriter(tmp_path / "events.jsonl"))
    score_translations(settings, ScoreInputs(translated(tmp_path / "t", REFERENCE)), tmp_path / "out", run)
    run.events.close()
    chrf, bleu = read_json(tmp_path / "out" / "scores.json")
    expected = score(HYPOTHESES, REFERENCE, "bleu", settings.confidence)
    assert chrf["metric"] == "chrf"
    assert bleu == {
        "metric": "bleu",
        "value": expected.value,
        "signature": expected.signature,
        "confidence": list(expected.confidence or ()),
        "split": "valid",
        "sentences": 2,
    }
    assert expected.signature in capsys.readouterr().err
    assert [event["metric"] for event in read_events(tmp_path / "events.jsonl")] == ["chrf", "bleu"]


def test_unequal_sides_leave_no_scores(tmp_path: Path) -> None:
    inputs = ScoreInputs(translated(tmp_path / "t", REFERENCE[:1]))
    with pytest.raises(DataError, match="2 sentences, but the reference has 1"):
        score_translations(ScoreSettings(), inputs, tmp_path / "out", RunContext(quiet=True))
    assert not (tmp_path / "out" / "scores.json").exists()


def test_the_language_of_the_translations_chooses_the_tokenizer(tmp_path: Path) -> None:
    inputs = ScoreInputs(translated(tmp_path / "t", REFERENCE), language="zh")
    score_translations(ScoreSettings(metrics=["bleu"]), inputs, tmp_path / "out", RunContext(quiet=True))
    (bleu,) = read_json(tmp_path / "out" / "scores.json")
    assert bleu["signature"] == score(HYPOTHESES, REFERENCE, "bleu", language="zh").signature
    assert "tok:zh" in bleu["signature"]
