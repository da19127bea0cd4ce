from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import mtkit.cli.run as module
from mtkit.cli.main import mtkit
from mtkit.config.kind import Kind
from mtkit.errors import RecipeError
from mtkit.files import write_text

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(toy_recipe: Path, toy_kinds: Mapping[str, Kind], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs `mtkit run` on the toy recipe with further arguments."""
    monkeypatch.setattr(module, "KINDS", toy_kinds)
    monkeypatch.chdir(toy_recipe.parent)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(mtkit, ["run", "toy.yaml", *arguments], catch_exceptions=False)

    return call


def test_a_run_talks_on_stderr_only(invoke: Invoke) -> None:
    result = invoke()
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "count   to run, because it never ran" in result.stderr
    assert "report: runs/toy/report.md" in result.stderr
    assert "text    stored" in invoke().stderr


def test_a_dry_run_prints_its_plan_on_stdout_and_does_nothing(invoke: Invoke, toys: Any) -> None:
    result = invoke("--dry-run")
    assert result.stdout.splitlines()[0] == "text    to run, because it never ran"
    assert result.stderr == ""
    assert toys.calls == []
    assert not Path("runs").exists()


def test_a_goal_ends_the_run(invoke: Invoke, toys: Any) -> None:
    invoke("--goal", "repeat")
    assert toys.calls == ["text", "repeat"]
    with pytest.raises(RecipeError, match="no stage named 'end'"):
        invoke("--goal", "end")


def test_settings_and_the_folder_of_runs_can_be_given(invoke: Invoke, tmp_path: Path) -> None:
    invoke("--set", "stages.repeat.times=5", "--set", "seed=9", "--runs", "elsewhere")
    text = (tmp_path / "elsewhere/toy/repeat/deep/text").read_text()
    assert text.count("EIN SATZ") == 5
    assert text.endswith("9")


def test_a_quiet_run_says_nothing_and_keeps_its_log(invoke: Invoke) -> None:
    result = invoke("--quiet")
    assert result.output == ""
    assert "repeating with seed" in Path("runs/toy/repeat/log.txt").read_text()


def test_expectations_do_not_change_the_exit_code(invoke: Invoke, toy_recipe: Path) -> None:
    write_text(toy_recipe, toy_recipe.read_text() + "expect: {minutes: at least 100}\n")
    result = invoke()
    assert result.exit_code == 0
    assert "not met" in result.stderr


def test_a_wrong_recipe_runs_nothing(invoke: Invoke, toys: Any) -> None:
    with pytest.raises(RecipeError, match="times"):
        invoke("--set", "stages.repeat.tiems=5")
    assert toys.calls == []


def test_all_stages_of_a_kind_are_reached(
    invoke: Invoke, toys: Any, toy_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(toy_recipe, toy_recipe.read_text() + "  again: {like: repeat, times: 3}\n")
    result = module.run_recipe_to_kind(toy_recipe, "repeat", quiet=True)
    assert toys.calls == ["text", "repeat", "repeat"]
    assert [stage.name for stage in result.stages] == ["text", "repeat", "again"]
