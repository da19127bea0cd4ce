import errno
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.recipe import Recipe, read_recipe
from mtkit.errors import DataError, RunError
from mtkit.files import read_json, write_text
from mtkit.log import RunContext, read_events
from mtkit.pipeline import making, runner
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.plan import plan
from mtkit.pipeline.runner import forecasts, run
from mtkit.pipeline.store import Store
from mtkit.training.place import Place

Read = Callable[..., Recipe]


def test_a_recipe_runs_from_nothing_and_then_not_again(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    first = run(read(), None, store, context)
    assert [stage.state for stage in first.stages] == ["ran"] * 3
    assert (first.folder / "count/count").read_text() == "19"
    again = run(read(), None, store, context)
    assert [stage.state for stage in again.stages] == ["stored"] * 3
    assert toys.calls == ["text", "repeat", "count"]


def test_an_edit_back_and_forth_runs_nothing(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    run(read(), None, store, context)
    run(read("stages.repeat.times=3"), None, store, context)
    toys.calls.clear()
    result = run(read(), None, store, context)
    assert toys.calls == []
    assert (result.folder / "count/count").read_text() == "19"


def test_the_run_folder_links_into_the_store_and_can_be_moved(
    read: Read, store: Store, context: RunContext, tmp_path: Path
) -> None:
    result = run(read(), None, store, context)
    link = result.folder / "repeat"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    result.folder.parent.rename(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/toy/repeat/deep/text").exists()


def test_the_recipe_is_kept_as_given(read: Read, store: Store, context: RunContext, toy_recipe: Path) -> None:
    result = run(read(), None, store, context)
    assert (result.folder / "recipe.yaml").read_text() == toy_recipe.read_text()
    resolved = (result.folder / "recipe.resolved.yaml").read_text()
    assert "buffer_bytes: 10" in resolved  # a default
    assert (result.folder / "report.md").read_text().startswith("# toy\n")


def test_a_goal_leaves_later_stages_alone(read: Read, store: Store, context: RunContext, toys: Any) -> None:
    result = run(read(), "repeat", store, context)
    assert toys.calls == ["text", "repeat"]
    assert not (result.folder / "count").exists()


def test_results_that_no_longer_fit_are_not_shown_but_remembered(
    read: Read, store: Store, context: RunContext
) -> None:
    run(read(), None, store, context)
    result = run(read("stages.repeat.times=3"), "repeat", store, context)
    assert not (result.folder / "count").exists()
    assert list(read_json(result.folder / "manifest.json")["stages"]) == ["text", "repeat"]
    lines = run(read("stages.repeat.times=3"), None, store, context, dry_run=True).lines
    assert lines[2] == "count   to run, because repeat changed"


def test_talk_and_events_are_kept_with_the_stage(read: Read, store: Store, context: RunContext) -> None:
    result = run(read("seed=7"), None, store, context)
    log = (result.folder / "repeat/log.txt").read_text()
    assert "repeating with seed 7\n" in log
    assert "repeating" not in (result.folder / "text/log.txt").read_text()
    events = [event["event"] for event in read_events(result.folder / "repeat/events.jsonl")]
    assert events == ["stage_begins", "repeat", "stage_ends"]


def test_a_failing_stage_is_named_and_goes_on_later(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    def fail(name: str, out: Path) -> None:
        if name == "repeat":
            write_text(out / "half", "half")
            raise DataError("nothing to repeat", where="text:3", advice="Write something.")

    toys.before = fail
    with pytest.raises(DataError) as caught:
        run(read(), None, store, context)
    assert str(caught.value).startswith("stage repeat: text:3: nothing to repeat\n")
    partial = next(store.root.glob("repeat-*.partial"))
    assert (partial / "half").exists()
    assert "nothing to repeat" in (partial / "log.txt").read_text()
    assert run(read(), None, store, context, dry_run=True).lines[1].endswith("it was not finished")

    seen: list[bool] = []
    toys.before = lambda _, out: seen.append((out / "half").exists())
    run(read(), None, store, context)
    assert seen == [True, False]  # repeat resumes, count never did
    assert toys.calls == ["text", "repeat", "repeat", "count"]


def test_what_differs_from_an_unfinished_run_is_said_and_that_stays(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    def interrupt(name: str, out: Path) -> None:
        if name == "repeat":
            raise KeyboardInterrupt

    def planned(*changes: str) -> str:
        return run(read(*changes), None, store, context, dry_run=True).lines[1]

    before, toys.before = toys.before, interrupt
    with pytest.raises(KeyboardInterrupt):
        run(read(), None, store, context)
    toys.before = before
    partial = next(store.root.glob("repeat-*.partial"))
    begun = f"since {partial.name} was begun, which stays as it is"
    assert planned() == "repeat  to run, because it was not finished"
    assert planned("stages.repeat.times=3") == f"repeat  to run, because stages.repeat.times 2 → 3 {begun}"
    assert planned("seed=9").startswith("repeat  to run, because seed ")
    assert planned("stages.text.case=lower") == f"repeat  to run, because text changed {begun}"
    run(read("stages.repeat.times=3"), None, store, context)
    assert partial.exists()
    assert planned("stages.repeat.times=4").endswith("because stages.repeat.times 3 → 4")
    run(read(), None, store, context)
    assert not partial.exists()


def test_ctrl_c_says_where_the_work_is_and_passes(
    read: Read, store: Store, context: RunContext, toys: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str, out: Path) -> None:
        if name == "repeat":
            raise KeyboardInterrupt

    before, toys.before = toys.before, interrupt
    with pytest.raises(KeyboardInterrupt):
        run(read(), None, store, context)
    partial = next(store.root.glob("repeat-*.partial"))
    assert f"repeat: stopped; what it had done is kept in {partial}" in capsys.readouterr().err
    toys.before = before
    assert [stage.state for stage in run(read(), None, store, context).stages] == ["stored", "ran", "ran"]


def test_a_full_disk_inside_a_stage_is_told(read: Read, store: Store, context: RunContext, toys: Any) -> None:
    def full(name: str, out: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "weights"))

    toys.before = full
    with pytest.raises(RunError, match="no space left on the device") as caught:
        run(read(), None, store, context)
    assert caught.value.where.startswith("stage text: ")
    assert "mtkit clean" in caught.value.advice


def test_a_bug_keeps_its_type_and_is_in_the_log(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    def bug(name: str, out: Path) -> None:
        raise ZeroDivisionError("a bug")

    toys.before = bug
    with pytest.raises(ZeroDivisionError):
        run(read(), None, store, context)
    assert "ZeroDivisionError: a bug" in (next(store.root.glob("*.partial")) / "log.txt").read_text()


def test_a_damaged_stage_is_made_again_and_its_readers_are_not(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    run(read(), None, store, context)
    toys.calls.clear()
    (next(store.root.glob("repeat-*")) / "deep/text").write_text("no")
    result = run(read(), None, store, context)
    assert toys.calls == ["repeat"]
    assert [stage.state for stage in result.stages] == ["stored", "ran", "stored"]


def test_a_folder_in_the_place_of_a_link_is_told(read: Read, store: Store, context: RunContext) -> None:
    (store.root.parent / "toy/repeat").mkdir(parents=True)
    with pytest.raises(RunError, match="not a link"):
        run(read(), None, store, context)


def test_two_recipes_share_what_is_equal(
    read: Read, store: Store, context: RunContext, toys: Any, toy_recipe: Path
) -> None:
    run(read(), None, store, context)
    toys.calls.clear()
    result = run(read("recipe=other", "stages.count.what=lines"), None, store, context)
    assert toys.calls == ["count"]
    assert result.folder.name == "other"


def test_a_stage_that_begins_anew_leaves_only_its_log_when_it_fails(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    def fail(name: str, out: Path) -> None:
        write_text(out / "deep/half", "half")
        raise DataError("nothing to write")

    toys.before = fail
    with pytest.raises(DataError):
        run(read(), None, store, context)
    partial = next(store.root.glob("text-*.partial"))
    left = {path.relative_to(partial).as_posix() for path in partial.rglob("*")}
    assert left == {"log.txt", "events.jsonl", "sessions.json"}


def test_ctrl_c_in_a_stage_that_begins_anew_promises_nothing(
    read: Read, store: Store, context: RunContext, toys: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str, out: Path) -> None:
        raise KeyboardInterrupt

    toys.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(read(), None, store, context)
    said = capsys.readouterr().err
    assert "text: stopped; it begins anew when the same command runs again" in said
    assert "kept" not in said


def test_a_message_about_a_setting_names_the_stage_that_has_it(
    read: Read, store: Store, context: RunContext, toys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student's training is no stage `train`, and its settings are not changed there."""

    def fail(*_: object) -> str:
        raise DataError("`stages.repeat.times` is 3", where="stages.repeat.times", advice="Lower it.")

    recipe = read("stages.again.like=repeat", "stages.again.times=3")
    with monkeypatch.context() as patch, pytest.raises(DataError) as caught:
        patch.setattr(toys, "before", lambda name, _out: fail() if name == "repeat" else None)
        run(recipe, "again", store, context)
    assert str(caught.value).startswith("stage again: stages.again.times: `stages.again.times` is 3\n")

    again = recipe.stages["again"]
    can_tell = replace(again, kind=replace(again.kind, forecast="there:fail"))
    recipe = replace(recipe, stages={**recipe.stages, "again": can_tell})
    monkeypatch.setattr(runner, "load", lambda _: fail)
    with pytest.raises(DataError) as caught:
        list(forecasts(recipe, ["again"], store, context, Place()))
    assert caught.value.where == "stages.again.times"


def test_what_would_run_is_forecast_where_its_kind_can_tell(
    read: Read, store: Store, context: RunContext, toys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(settings: Any, reads: Any, beside: Any, run: RunContext, recipe: Recipe, place: Place) -> str:
        from_text = f"from {reads['text']}, {beside['text'].file}"
        return f"{settings.times} times, {from_text}, seed {run.seed}, {recipe.name}, {place.count} processes"

    monkeypatch.setattr(runner, "load", lambda _: told)
    recipe = read()
    repeat = recipe.stages["repeat"]
    can_tell = replace(repeat, kind=replace(repeat.kind, forecast="there:told"))
    recipe = replace(recipe, stages={**recipe.stages, "repeat": can_tell})
    assert list(forecasts(recipe, ["count"], store, context, Place(count=2))) == [
        f"repeat: 2 times, from None, text.txt, seed 1, {recipe.name}, 2 processes"
    ]
    assert toys.calls == []


RECIPE = """
recipe: lacking
about: what the last stage needs is not installed
source: de
target: en
stages:
  corpus: {train: text, valid: text, test: text}
  subword: {}
  train: {until: {updates: 9000}}
  graphs: {kind: export, to: onnx}
"""


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_package_that_the_last_stage_lacks_is_told_before_the_first_runs(
    store: Store, context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    for side in ("de", "en"):
        write_text(tmp_path / f"text.{side}", "a\n")
    write_text(tmp_path / "lacking.yaml", RECIPE)
    recipe = read_recipe(tmp_path / "lacking.yaml", KINDS)
    with pytest.raises(RunError, match="no onnxruntime") as told:
        run(recipe, None, store, context, dry_run=dry_run)
    assert told.value.where == "stages.graphs, export onnx"
    assert not (store.root.parent / "lacking").exists()
    assert len(run(recipe, "subword", store, context, dry_run=True).stages) == 2  # which needs none of it


def test_data_that_changed_after_the_run_was_planned_are_not_stored_under_what_they_were(
    monkeypatch: pytest.MonkeyPatch, read: Read, store: Store, context: RunContext
) -> None:
    found = {"train.0": "a", "valid": "c"}
    monkeypatch.setattr(making, "data_of", lambda *_: found)
    [planned, *_] = plan([read().stages["text"]], read(), store, {})
    item = replace(planned, ingredients=replace(planned.ingredients, data=dict(found)))
    making._check_data(item, read())
    found["train.0"] = "b"
    with pytest.raises(DataError, match=r"the data of train\.0 changed after this run had begun"):
        making._check_data(item, read())
