"""A dry run: what a training would take, and all that it would refuse."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mtkit.cli.main import mtkit
from mtkit.errors import RecipeError
from mtkit.training import preflight

OTHER = ("--set", "stages.train.model.dropout=0.3")  # than what is stored


@pytest.fixture
def dry_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Does it in a folder where corpus and subword are stored."""
    monkeypatch.chdir(finished)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(preflight, "PROBE_SECONDS", 0.05)
    return lambda *more: CliRunner().invoke(
        mtkit, ["train", "tiny.yaml", "--dry-run", "--device", "cpu", *OTHER, *more]
    )


def test_a_dry_run_forecasts_so_many_processes_and_writes_nothing(finished: Path, dry_run: Any) -> None:
    before = sorted(finished.rglob("*"))
    said = dry_run("--processes", "2")
    assert said.exit_code == 0, said.output
    assert "of memory expected" in said.output
    assert "target tokens/s" in said.output
    assert "to the end, validations not counted" in said.output
    assert "memory of each of 2 processes, speed of all" in said.output
    assert "accumulate 2" in said.output
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            (
                "schedule={kind: inverse_sqrt, warmup_updates: 90}",
                "until={epochs: 1, updates: null}",
            ),
            "before warm-up does",
        ),
        (("accumulate=1300", "batch_tokens=40000"), "the corpus has 1,200 training pairs"),
    ],
)
def test_a_dry_run_refuses_what_training_refuses(settings: tuple[str, ...], found: str, dry_run: Any) -> None:
    changes = [word for setting in settings for word in ("--set", f"stages.train.{setting}")]
    said = dry_run(*changes)
    assert isinstance(said.exception, RecipeError), said.output
    assert found in str(said.exception)
    assert said.output == ""
