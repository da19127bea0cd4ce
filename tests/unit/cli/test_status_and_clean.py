from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mtkit.cli.status as module
from mtkit.cli.main import mtkit
from mtkit.config.kind import Kind
from mtkit.config.recipe import read_recipe
from mtkit.errors import DataError
from mtkit.log import RunContext
from mtkit.pipeline.runner import run
from mtkit.pipeline.store import Store


@pytest.fixture
def store(toy_recipe: Path, toy_kinds: Mapping[str, Kind], monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store after two runs of the toy recipe, the second with another setting."""
    monkeypatch.chdir(toy_recipe.parent)
    found = Store(Path("runs/store"))
    monkeypatch.setattr(module, "KINDS", toy_kinds)
    for overrides in ([], ["stages.repeat.times=3"]):
        run(read_recipe(toy_recipe, toy_kinds, overrides), None, found, RunContext(quiet=True))
    return found


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(mtkit, arguments, catch_exceptions=False)


def test_status_tells_runs_and_what_serves_none(store: Store) -> None:
    lines = invoke("status").stdout.splitlines()
    assert lines[0].startswith("toy: finished")
    assert len(lines) == 5
    assert "`mtkit clean`" in lines[4]


def test_status_of_one_recipe_is_asked_by_name_or_file(store: Store) -> None:
    Path("toy.yaml").rename("named.yaml")
    assert len(invoke("status", "toy").stdout.splitlines()) == 4
    assert len(invoke("status", "named.yaml").stdout.splitlines()) == 4
    assert invoke("status", "runs/toy").stdout == invoke("status", "toy").stdout
    with pytest.raises(DataError):
        invoke("status", "other")


def test_status_needs_no_runs(tmp_path: Path) -> None:
    assert invoke("status", "--runs", str(tmp_path / "none")).stdout.startswith("no runs in")


def test_clean_lists_first_and_removes_only_when_told(store: Store) -> None:
    before = store.all()
    listed = invoke("clean").stdout
    assert "mtkit clean --yes" in listed
    assert store.all() == before
    removed = invoke("clean", "--yes").stdout
    assert "removed 2 folders" in removed
    assert len(store.all()) == len(before) - 2
    assert invoke("clean").stdout == "nothing to remove in runs\n"


def test_after_cleaning_everything_is_still_stored(store: Store, toy_kinds: Mapping[str, Kind]) -> None:
    invoke("clean", "--yes")
    recipe = read_recipe("toy.yaml", toy_kinds, ["stages.repeat.times=3"])
    result = run(recipe, None, store, RunContext(quiet=True))
    assert {stage.state for stage in result.stages} == {"stored"}
