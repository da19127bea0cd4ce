import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.errors import MtkitError
from mtkit.files import read_text, write_lines, write_text
from mtkit.report.run_report import expectations_of, figures, write_report

GOLDEN = Path(__file__).parents[2] / "golden" / "report.md"


def noted(kind: str, seconds: float, given: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "kind": kind,
        "seconds": seconds,
        "finished": "2026-01-02T03:04:05+00:00",
        "folder": f"{kind}-0123456789abcdef",
        "given": given or [],
    }


MANIFEST = {
    "recipe": "tiny",
    "about": "a tiny *run*",
    "source": "de",
    "target": "en",
    "seed": 1,
    "mtkit": "0.1.0",
    "finished": "2026-01-02T03:04:05+00:00",
    "expect": {"test.bleu": "at least 30", "minutes": "at most 1"},
    "stages": {
        "corpus": noted("corpus", 1.5),
        "subword": noted("subword", 0.5),
        "train": noted(
            "train",
            100,
            [
                {"path": "stages.train.model.dropout", "value": 0.2, "origin": "tiny.yaml:9"},
                {"path": "stages.train.batch_tokens", "value": 64, "origin": "--set"},
            ],
        ),
        "translate": noted("translate", 2),
        "score": noted("score", 1),
    },
}
FILES: dict[str, Any] = {
    "corpus/corpus.json": {
        "source_language": "de",
        "target_language": "en",
        "normalize": "nfc",
        "pairs": {"train": 1200, "valid": 10, "test": 3},
        "filters": [
            {
                "filter": "length",
                "removed": 7,
                "examples": [["ein | Satz", "a sentence"], ["a", "b"], ["c", "d"]],
            },
            {"filter": "duplicates", "removed": 0, "examples": []},
        ],
        "datasets": [
            {
                "dataset": "starter",
                "read": 2400,
                "filters": [{"filter": "copies", "removed": 11, "examples": [["OK", "OK"]]}],
                "repeated_or_held_out": {"train": [{"filter": "held_out", "removed": 2, "examples": []}]},
            }
        ],
        "held_out_removed": 4,
        "splits": {},
        "licences": [{"dataset": "starter", "licence": "CC0-1.0", "attribution": None}],
    },
    "subword/subword.json": {
        "format": 1,
        "algorithm": "bpe",
        "share": "none",
        "byte_fallback": True,
        "sizes": {"source": 8000, "target": 400},
        "files": {"x": "y"},
    },
    "train/train.json": {
        "parameters": 1234567,
        "updates": 300,
        "epochs": 2,
        "seconds": 99.5,
        "target_tokens": 45000,
        "tokens_per_second": 452.3,
        "padding_share": 0.0312,
        "best": {"update": 200, "loss_nats_per_token": 2.0},
        "stopped_by": "updates",
    },
    "train/validations/00000100.json": {
        "update": 100,
        "loss_nats_per_token": 4.0,
        "bleu": 1.0,
        "samples": [],
    },
    "train/validations/00000200.json": {
        "update": 200,
        "loss_nats_per_token": 2.0,
        "bleu": 9.5,
        "samples": [],
    },
    "train/validations/00000300.json": {
        "update": 300,
        "loss_nats_per_token": 2.1,
        "bleu": 9.0,
        "samples": [],
    },
    "translate/translate.json": {
        "sentences": 3,
        "seconds": 1.2,
        "split": "test",
        "flags": {"truncated": 0, "split": 1, "repeated": 0},
    },
    "score/scores.json": [
        {
            "metric": "bleu",
            "value": 31.25,
            "signature": "BLEU|nrefs:1|case:mixed",
            "confidence": [30.0, 32.5],
            "split": "test",
            "sentences": 3,
        },
        {
            "metric": "chrf",
            "value": 55.5,
            "signature": "chrF2|nrefs:1",
            "confidence": None,
            "split": "test",
            "sentences": 3,
        },
    ],
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    for name, value in FILES.items():
        kind, _, rest = name.partition("/")
        write_text(tmp_path / f"store/{kind}-0123456789abcdef" / rest, json.dumps(value))
    translate = tmp_path / "store/translate-0123456789abcdef"
    write_lines(translate / "source", ["eins", "zwei", "drei"])
    write_lines(translate / "hypotheses", ["one", "", "three # 3"])
    write_lines(translate / "reference", ["one", "two", "three"])
    write_text(tmp_path / "tiny/manifest.json", json.dumps(MANIFEST))
    return tmp_path / "tiny"


def test_a_tiny_report_is_as_stored(run_folder: Path, golden: Callable[[Path, str], None]) -> None:
    write_report(run_folder)
    golden(GOLDEN, read_text(run_folder / "report.md"))


def test_expectations_are_compared_with_what_was_measured(run_folder: Path) -> None:
    assert [(item.figure, item.verdict) for item in expectations_of(run_folder)] == [
        ("test.bleu", "met"),
        ("minutes", "not met"),
    ]


def test_figures_bear_the_names_that_expect_uses(run_folder: Path) -> None:
    stages = {name: dict(item) for name, item in MANIFEST["stages"].items()}  # type: ignore[attr-defined]
    folders = {name: run_folder.parent / "store" / item["folder"] for name, item in stages.items()}
    found = figures(stages, folders)
    assert found["test.bleu"] == found["score.bleu"] == 31.25
    assert found["minutes"] == pytest.approx(105 / 60)
    assert found["train.minutes"] == pytest.approx(100 / 60)
    assert found["parameters"] == 1234567


def test_of_two_scores_of_one_split_the_first_is_the_splits(run_folder: Path) -> None:
    other = run_folder.parent / "store/score-second"
    write_text(
        other / "scores.json",
        json.dumps([{**FILES["score/scores.json"][0], "value": 10.0}]),
    )
    stages = {"score": {"kind": "score", "seconds": 1}, "again": {"kind": "score", "seconds": 1}}
    found = figures(stages, {"score": run_folder.parent / "store/score-0123456789abcdef", "again": other})
    assert (found["test.bleu"], found["again.bleu"]) == (31.25, 10.0)


def test_a_run_that_stopped_early_has_a_shorter_report(run_folder: Path) -> None:
    manifest = {**MANIFEST, "stages": {"corpus": noted("corpus", 1)}, "finished": None}
    write_text(run_folder / "manifest.json", json.dumps(manifest))
    write_report(run_folder)
    report = read_text(run_folder / "report.md")
    assert "not finished" in report
    assert "## Corpus" in report
    assert "## Scores" not in report
    assert "not measured" in report


def test_a_missing_file_of_a_stage_is_told(run_folder: Path) -> None:
    (run_folder.parent / "store/score-0123456789abcdef/scores.json").unlink()
    with pytest.raises(MtkitError) as caught:
        write_report(run_folder)
    assert "scores.json" in caught.value.where
