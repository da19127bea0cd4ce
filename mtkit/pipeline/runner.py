"""Runs a recipe: makes what is missing, stage by stage, and keeps the run's folder.

What each kind does is in `stages.py` and imported only when a stage of it has to run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from mtkit import __version__
from mtkit.config.corpus import CorpusSettings
from mtkit.config.fields import leaves, tree
from mtkit.config.nodes import dotted
from mtkit.config.recipe import Recipe, Stage
from mtkit.config.show import show
from mtkit.corpus.licences import licences_of
from mtkit.errors import RunError
from mtkit.files import read_text
from mtkit.log import RunContext
from mtkit.pipeline import runs
from mtkit.pipeline.at_work import needing
from mtkit.pipeline.fingerprint import load
from mtkit.pipeline.graph import needed
from mtkit.pipeline.making import make, settings_named
from mtkit.pipeline.plan import Planned, again, lines, plan, short
from mtkit.pipeline.run_model import check_place, write_model
from mtkit.pipeline.store import Store
from mtkit.report.expectations import Outcome, table
from mtkit.report.run_report import expectations_of, write_report
from mtkit.training.place import Place


@dataclass(frozen=True)
class StageResult:
    """What became of one stage.

    Attributes:
        state: `stored` before the run, `ran` in it, or `to run` in a dry run.
        reason: why it ran or has to.
        seconds: what making it took, whenever that was; 0 in a dry run.
    """

    name: str
    kind: str
    state: Literal["stored", "ran", "to run"]
    reason: str
    folder: Path
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes:
        folder: `runs/<recipe>`.
        lines: the plan for people, a line a stage.
        expectations: what the recipe expects, compared with what came out; empty in a dry run.
    """

    folder: Path
    stages: tuple[StageResult, ...]
    lines: tuple[str, ...]
    expectations: tuple[Outcome, ...] = ()


def run(
    recipe: Recipe,
    goal: str | list[str] | None,
    store: Store,
    context: RunContext,
    *,
    dry_run: bool = False,
) -> RunResult:
    """Make every stage that the goal needs and the store does not hold.

    Args:
        goal: the stage to reach, or several; None: all of the recipe.
        store: its folder's parent holds the runs' folders.
        dry_run: only say what would be done.

    Raises:
        MtkitError: a stage failed; what it had done stays, and the same command goes on from there.
    """
    goals = [goal] if isinstance(goal, str) else goal or list(recipe.stages)
    run_folder = runs.open_run(store.root.parent, recipe.name)
    planned = plan(needed(recipe, goals), recipe, store, run_folder.earlier, run_folder.begun)
    if runs.MODEL not in recipe.stages:
        check_place(run_folder.path / runs.MODEL)
    _check_machine(planned, recipe, context)
    if dry_run:
        return RunResult(
            run_folder.path,
            tuple(_result(item, "stored" if item.is_stored else "to run", 0.0) for item in planned),
            tuple(lines(planned)),
        )
    with needing(store.root, (item.folder.name for item in planned)):
        planned = again(planned, store)  # what is there now stays
        for line in lines(planned):
            context.say(line)
        results, expectations = _make_all(planned, recipe, store, context, run_folder)
    for line in table(expectations):
        context.say(line)
    return RunResult(run_folder.path, tuple(results), tuple(lines(planned)), expectations)


def _make_all(
    planned: list[Planned], recipe: Recipe, store: Store, context: RunContext, run_folder: runs.RunFolder
) -> tuple[list[StageResult], tuple[Outcome, ...]]:
    """Make every stage, and bring the run's folder up to date."""
    given, resolved = read_text(recipe.path), show(recipe)
    run_folder = runs.note_plan(run_folder, planned, _about(recipe))
    runs.write_recipe(run_folder, given, resolved)
    results = []
    for item in planned:
        result, run_folder = _reach(item, planned, recipe, store, context, run_folder)
        results.append(result)
    with runs.alone_in(run_folder):  # all of one run, should another of this recipe be at work
        runs.write_recipe(run_folder, given, resolved)
        write_model(_note_end(run_folder, recipe), recipe)
        write_report(run_folder.path)
        return results, expectations_of(run_folder.path)


def _check_machine(planned: list[Planned], recipe: Recipe, context: RunContext) -> None:
    """Refuse now what a stage that is to run could not do here, rather than after hours of training.

    Raises:
        RunError: with the stage's name.
    """
    for item in planned:
        kind = item.stage.kind
        if kind.check and not item.is_stored:
            try:
                with settings_named(item.stage):
                    load(kind.check)(item.stage.settings, recipe, context)
            except RunError as error:
                where = f"stages.{item.stage.name}"
                if error.where:
                    where = error.where if error.where.startswith(f"{where}.") else f"{where}, {error.where}"
                raise RunError(
                    error.found, where=where, expected=error.expected, advice=error.advice
                ) from error


def forecasts(
    recipe: Recipe, goals: list[str], store: Store, context: RunContext, place: Place
) -> Iterator[str]:
    """What the stages that would run are going to take, where their kind can tell; each takes seconds.

    Args:
        place: of one of the processes that would run them.

    Raises:
        MtkitError: a stage could not run on this machine, or could not run at all.
    """
    planned = plan(needed(recipe, goals), recipe, store, {})
    by_name = {item.stage.name: item for item in planned}
    for item in planned:
        kind = item.stage.kind
        if item.is_stored or not kind.forecast:
            continue
        reads = {role: by_name[name] for role, name in item.stage.reads.items()}
        folders = {role: other.folder if other.is_stored else None for role, other in reads.items()}
        beside = {role: other.stage.settings for role, other in reads.items()}
        forecast = load(kind.forecast)
        inner = replace(context, seed=recipe.seed)
        with settings_named(item.stage):
            told = forecast(item.stage.settings, folders, beside, inner, recipe, place)
        yield f"{item.stage.name}: {told}"


def _reach(
    item: Planned,
    planned: list[Planned],
    recipe: Recipe,
    store: Store,
    context: RunContext,
    run_folder: runs.RunFolder,
) -> tuple[StageResult, runs.RunFolder]:
    """Make a stage unless it is stored, and note it in the run's folder."""
    folders = {other.stage.name: other.folder for other in planned}
    reads = {role: folders[name] for role, name in item.stage.reads.items()}
    ran = not item.is_stored and make(item, reads, recipe, store, context)
    record = store.record(item.ingredients.kind, item.fingerprint)
    run_folder = runs.note_stage(run_folder, item, record, _given(item.stage, recipe))
    if item.stage.kind.name == "train":
        write_model(run_folder, recipe)  # no later stage has to succeed before it can be used
    result = _result(item, "ran" if ran else "stored", record["seconds"])
    return result, run_folder


def _result(item: Planned, state: Literal["stored", "ran", "to run"], seconds: float) -> StageResult:
    return StageResult(item.stage.name, item.stage.kind.name, state, item.reason, item.folder, seconds)


def _note_end(run_folder: runs.RunFolder, recipe: Recipe) -> runs.RunFolder:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return runs.note_end(run_folder, recipe.stages, now)


def _about(recipe: Recipe) -> dict[str, Any]:
    """What the manifest says of the recipe itself."""
    return {
        "recipe": recipe.name,
        "about": recipe.about,
        "path": str(recipe.path),
        "source": recipe.source,
        "target": recipe.target,
        "seed": recipe.seed,
        "expect": {figure: str(expected) for figure, expected in recipe.expect.items()},
        "mtkit": __version__,
        "licences": {
            stage.name: licences_of(stage.settings, recipe.folder)
            for stage in recipe.stages.values()
            if isinstance(stage.settings, CorpusSettings)
        },
    }


def _given(stage: Stage, recipe: Recipe) -> list[dict[str, Any]]:
    """The settings of a stage that this recipe or the command line gave, not a base or a default."""
    values = {dotted(path): value for path, value in leaves(tree(stage.settings))}
    return [
        {"path": f"stages.{stage.name}.{path}", "value": short(values[path]), "origin": origin}
        for path, origin in stage.origins.items()
        if path in values and (origin == "--set" or origin.rpartition(":")[0] == str(recipe.path))
    ]
