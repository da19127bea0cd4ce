import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.cli.verify_resume import lines
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.store import Store
from mtkit.pipeline.verifying import Asked, Verdict, verify_resume

SAMPLED = "stages.train.subword_sampling={probability: 0.2}"
WAY = (SAMPLED, "stages.train.accumulate=2", "stages.train.keep.average=1", "stages.train.ema_decay=0.9")
# what a resume could forget, each patched into the process that resumes
FAULTS = {
    "momentum": (
        "from mtkit.training.optimizer import Optimizer\nOptimizer.load_state_dict = lambda *_: None",
        "losses and gradients: update",
    ),
    "position": (
        "from mtkit.batches.stream import BatchStream\nBatchStream.seek = lambda *_: None",
        "order of data: update",
    ),
}

CHILD = """
import sys
from pathlib import Path
from mtkit.pipeline.stretching import main
main(Path(sys.argv[1]))
"""


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunContext:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return RunContext(device="cpu", threads=1, quiet=True)


def verify(
    read: Recipe, overrides: tuple[str, ...], store: Store, quiet: RunContext, **options: object
) -> Verdict:
    asked = Asked(updates=24, kills=1, seed=5, overrides=overrides)
    return verify_resume(read, asked, store, quiet, **options)  # type: ignore[arg-type]


def test_a_killed_training_is_the_undisturbed_one_and_the_runs_stay_untouched(
    finished: Path, quiet: RunContext
) -> None:
    before = sorted(finished.rglob("*"))
    recipe = read_recipe(finished / "tiny.yaml", KINDS, WAY)
    verdict = verify(recipe, WAY, Store(finished / "runs/store"), quiet)
    assert verdict.first_difference == ""
    assert [item.what for item in verdict.compared] == [
        "order of data",
        "losses and gradients",
        "weights",
        "optimiser",
        "exponential average",
        "state",
    ]
    assert all(item.whole == item.resumed for item in verdict.compared)
    assert verdict.folder is None
    assert 1 <= verdict.killed_at[0] <= 24
    assert lines(verdict)[-1].endswith("every bit is the same")
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize("fault", ["momentum", pytest.param("position", marks=pytest.mark.slow)])
def test_a_resume_that_forgets_something_is_found_out(
    fault: str, finished: Path, quiet: RunContext, tmp_path: Path
) -> None:
    patch, told = FAULTS[fault]
    script = tmp_path / "broken.py"
    script.write_text(patch + CHILD)
    recipe = read_recipe(finished / "tiny.yaml", KINDS)
    verdict = verify(recipe, (), Store(finished / "runs/store"), quiet, child=(sys.executable, str(script)))
    assert verdict.first_difference.startswith(told)
    assert verdict.folder is not None
    assert (verdict.folder / "resumed/checkpoints").is_dir()
    assert "NOT the same" in lines(verdict)[-1]


def test_a_training_that_fails_by_itself_is_told(finished: Path, quiet: RunContext, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text("raise SystemExit('no room')")
    recipe = read_recipe(finished / "tiny.yaml", KINDS)
    with pytest.raises(RunError, match="no room"):
        verify(recipe, (), Store(finished / "runs/store"), quiet, child=(sys.executable, str(script)))


@pytest.mark.slow
def test_two_processes_are_killed_and_resumed_like_one(finished: Path, quiet: RunContext) -> None:
    recipe = read_recipe(finished / "tiny.yaml", KINDS, WAY)
    asked = Asked(updates=24, kills=2, seed=5, overrides=WAY, processes=2)
    verdict = verify_resume(recipe, asked, Store(finished / "runs/store"), quiet)
    assert verdict.first_difference == ""
    assert len(verdict.killed_at) == 2


@pytest.mark.slow
def test_many_kills_change_nothing_and_earlier_stages_are_made_where_they_are_missing(
    recipe: Path, here: Callable[..., str]
) -> None:
    said = here("verify-resume", "tiny.yaml", "--updates", "60", "--kills", "6", "--seed", "3")
    assert "every bit is the same" in said
    assert not (recipe.parent / "runs").exists()
