import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.config.recipe import Recipe
from mtkit.errors import RecipeError, RunError
from mtkit.files import read_json, read_text, write_json, write_text
from mtkit.log import RunContext
from mtkit.pipeline.runner import RunResult, run
from mtkit.pipeline.runs import all_runs, link, newest_model, open_run
from mtkit.pipeline.store import Store

Read = Callable[..., Recipe]
Within = Callable[[str, Callable[[], object]], None]


def finished_training(root: Path, name: str, finished: str, *, model: bool = True) -> None:
    folder = f"train-{name}"
    if model:
        write_text(root / "store" / folder / "model/model.json", "{}")
    stages = {"train": {"kind": "train", "folder": folder, "finished": finished}}
    write_json(root / name / "manifest.json", {"stages": stages})


def test_the_newest_model_is_that_of_the_training_that_ended_last(tmp_path: Path) -> None:
    assert newest_model(tmp_path) is None
    finished_training(tmp_path, "old", "2026-01-01T00:00:00+00:00")
    finished_training(tmp_path, "new", "2026-01-02T00:00:00+00:00")
    finished_training(tmp_path, "gone", "2026-01-03T00:00:00+00:00", model=False)
    assert newest_model(tmp_path) == ("new", tmp_path / "store/train-new/model")


def test_a_run_notes_what_it_needs_before_it_starts(
    read: Read, store: Store, context: RunContext, toys: object
) -> None:
    seen: list[set[str]] = []

    def look(name: str, out: Path) -> None:
        seen.append(open_run(store.root.parent, "toy").in_use)

    toys.before = look  # type: ignore[attr-defined]
    run(read(), None, store, context)
    assert all(len(in_use) == 3 for in_use in seen)
    assert seen


def test_of_two_runs_of_one_recipe_at_once_the_later_stands_whole(
    read: Read, store: Store, context: RunContext, once_within: Within
) -> None:
    others: list[RunResult] = []

    def run_another() -> None:
        others.append(run(read("stages.repeat.times=3"), None, store, context))
        assert (others[0].folder / "count").resolve() == others[0].stages[-1].folder.resolve()

    once_within("count", run_another)
    result = run(read(), None, store, context)
    assert others
    noted = open_run(store.root.parent, "toy")
    folders = [stage.folder.name for stage in result.stages]
    assert [stage["folder"] for stage in noted.stages.values()] == folders
    assert [(result.folder / name).resolve().name for name in noted.stages] == folders
    assert "times: 3" not in read_text(result.folder / "recipe.resolved.yaml")


def test_a_stage_that_another_run_noted_meanwhile_stays(
    read: Read, store: Store, context: RunContext, once_within: Within
) -> None:
    once_within("repeat", lambda: run(read(), "text", store, context))
    run(read(), "repeat", store, context)
    assert list(open_run(store.root.parent, "toy").stages) == ["text", "repeat"]


def test_a_recipe_cannot_bear_the_stores_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be named 'store'"):
        open_run(tmp_path, "store")


def test_a_damaged_manifest_is_told_with_its_line(tmp_path: Path) -> None:
    write_text(tmp_path / "toy/manifest.json", "{\n")
    with pytest.raises(RunError) as caught:
        all_runs(tmp_path)
    assert "manifest.json:" in caught.value.where


def test_a_link_is_renewed_and_nothing_else_is_touched(tmp_path: Path) -> None:
    write_text(tmp_path / "a/x", "a")
    write_text(tmp_path / "b/x", "b")
    link(tmp_path / "link", Path("a"))
    link(tmp_path / "link", Path("b"))
    assert (tmp_path / "link/x").read_text() == "b"
    assert (tmp_path / "a/x").read_text() == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "link"]


def test_times_of_stages_are_noted(read: Read, store: Store, context: RunContext) -> None:
    before = time.time()
    result = run(read(), None, store, context)
    manifest = read_json(result.folder / "manifest.json")
    assert 0 <= manifest["stages"]["text"]["seconds"] <= time.time() - before + 0.1
    assert manifest["finished"].endswith("+00:00")


@pytest.mark.parametrize(
    "manifest", ["[]", '{"stages": []}', '{"stages": {"train": 1}}', '{"planned": 3}', "1"]
)
def test_a_manifest_of_another_shape_is_an_error_and_no_crash(tmp_path: Path, manifest: str) -> None:
    write_text(tmp_path / "toy/manifest.json", manifest)
    with pytest.raises(RunError, match="not a manifest") as caught:
        all_runs(tmp_path)
    assert caught.value.where == str(tmp_path / "toy/manifest.json")


def test_what_stands_in_a_links_place_is_told_before_anything_runs(
    read: Read, store: Store, context: RunContext, toys: object
) -> None:
    (store.root.parent / "toy/count").mkdir(parents=True)
    with pytest.raises(RunError, match="not a link into the store"):
        run(read(), None, store, context)
    assert toys.calls == []  # type: ignore[attr-defined]
