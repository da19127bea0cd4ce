"""The proof that a training can be killed: a stretch of it twice, once undisturbed and once with SIGKILL.

Both are processes of their own (`stretching.py`) in a folder of their own; of the user's store only finished
stages are read. What is compared is in `training/comparing.py`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.config.recipe import Recipe, Stage
from mtkit.errors import RecipeError, RunError
from mtkit.log import RunContext, read_events
from mtkit.pipeline.graph import needed, of_kind
from mtkit.pipeline.making import make
from mtkit.pipeline.plan import plan
from mtkit.pipeline.store import Store
from mtkit.pipeline.stretching import CHECKPOINTS, EVENTS, TRACE, Task
from mtkit.training.trace import read_trace

if TYPE_CHECKING:
    from mtkit.training.comparing import Compared

CHILD = (sys.executable, "-m", "mtkit.pipeline.stretching")
LOOK_SECONDS = 0.002  # between two looks at how far a training is
ERRORS_SHOWN = 2000  # characters of what a process said that failed


@dataclass(frozen=True)
class Asked:
    """How hard to try.

    Attributes:
        updates: of the stretch.
        kills: how often the training is killed.
        seed: decides when.
        stage: name of the train stage; None: the only one.
        overrides: `PATH=VALUE`, that the recipe was read with.
        processes: that train together; rank 0 is the one that is killed.
    """

    updates: int
    kills: int
    seed: int
    stage: str | None = None
    overrides: tuple[str, ...] = ()
    processes: int = 1


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        killed_at: the last update that was made before each kill.
        resumed_from: the update of the checkpoint that the training went on from, after each.
        compared: everything that should be the same.
        folder: of both trainings, if they differ; otherwise they are gone.
    """

    killed_at: tuple[int, ...]
    resumed_from: tuple[int, ...]
    compared: tuple["Compared", ...]
    folder: Path | None

    @property
    def first_difference(self) -> str:
        """What differs first, in words; empty if nothing does."""
        return next((f"{item.what}: {item.difference}" for item in self.compared if item.difference), "")


def verify_resume(
    recipe: Recipe, asked: Asked, store: Store, context: RunContext, child: Sequence[str] = CHILD
) -> Verdict:
    """Train a stretch undisturbed and another with kills, and compare.

    Args:
        recipe: as it was read with `asked.overrides`.
        store: where earlier stages may be stored; those that are not are made in a temporary one.
        context: device, threads, talk.
        child: the command that does a task, without the path of its file.

    Raises:
        RecipeError: the recipe has no such train stage, or several and none was named.
        RunError: no kill came in time.
        MtkitError: a stage or a training failed by itself.
    """
    stage = _stage(recipe, asked.stage)
    folder = Path(tempfile.mkdtemp(prefix="mtkit-verify-"))
    verdict = None
    try:
        reads = _earlier(recipe, stage, store, Store(folder / "store"), context)
        task = Task(
            recipe=str(recipe.path),
            overrides=asked.overrides,
            stage=stage.name,
            reads={role: str(path.resolve()) for role, path in reads.items()},
            out="",
            updates=asked.updates,
            device=context.device,
            threads=context.threads,
            processes=asked.processes,
        )
        verdict = _verify(task, asked, folder, context, child)
        return verdict
    finally:
        if verdict is None or verdict.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _verify(task: Task, asked: Asked, folder: Path, context: RunContext, child: Sequence[str]) -> Verdict:
    from mtkit.training.comparing import compare

    whole, resumed = folder / "whole", folder / "resumed"
    context.say(f"{task.stage}: {asked.updates} updates, undisturbed")
    Session(replace(task, out=str(whole)), folder, child).finish()
    draw = random.Random(asked.seed)
    last = max((note["update"] for note in read_trace(whole / TRACE)), default=0)
    if last < 2:
        raise _too_short(f"the whole training has {last} update{'s' * (last != 1)}")
    points = sorted(draw.sample(range(1, last), min(asked.kills, last - 1)))
    killed_at: list[int] = []
    resumed_from: list[int] = []
    _take_over_choices(whole, resumed)
    again = replace(task, out=str(resumed))
    for point in points:
        # a kill comes within the next update; on a machine that is too busy for that, training waits for it
        session = Session(replace(again, waits_at=min(point + 2, last)), folder, child)
        made = session.kill(point, draw.random())
        if made is None:
            break
        killed_at.append(made)
        resumed_from.append(_newest(resumed / CHECKPOINTS))
        context.say(f"{task.stage}: killed after update {made}; goes on from update {resumed_from[-1]}")
    else:
        Session(again, folder, child).finish()
    if not killed_at:
        raise _too_short("the training had ended before it could be killed")
    compared = compare(whole / CHECKPOINTS, whole / TRACE, resumed / CHECKPOINTS, resumed / TRACE)
    differs = any(item.difference for item in compared)
    if differs:
        _check_memory(whole, resumed)
    return Verdict(tuple(killed_at), tuple(resumed_from), tuple(compared), folder if differs else None)


def _check_memory(whole: Path, resumed: Path) -> None:
    """Where memory ran out, other bits prove nothing: pieces give the result of the whole to rounding.

    Raises:
        RunError: it did, in one of the trainings.
    """
    for name, folder in (("undisturbed", whole), ("resumed", resumed)):
        for event in read_events(folder / EVENTS):
            if event["event"] == "out_of_memory":
                raise RunError(
                    f"nothing could be proved: the {name} training ran out of memory at update"
                    f" {event['update']} and was computed in pieces there, which is the same to rounding, not"
                    " to the bit",
                    expected="trainings that the memory holds",
                    advice="End other programs, or lower `batch_tokens` or raise `accumulate` with `--set`.",
                )


def _take_over_choices(whole: Path, resumed: Path) -> None:
    """Let a training begin with what another found out about the machine; nothing else may depend on it."""
    from mtkit.training.choosing import CHOSEN
    from mtkit.training.train import THREADS

    (resumed / CHECKPOINTS).mkdir(parents=True)
    for name in (CHOSEN, f"{CHECKPOINTS}/{THREADS}"):
        if (whole / name).exists():
            shutil.copy(whole / name, resumed / name)


class Session:
    """One process that does a task, from its start to its end.

    Args:
        task: what it does.
        folder: for the file that tells it, and for what it says.
        child: the command, without the path of that file.
    """

    def __init__(self, task: Task, folder: Path, child: Sequence[str]) -> None:
        self._trace = Path(task.out) / TRACE
        self._trace.parent.mkdir(exist_ok=True)
        self._before = len(read_trace(self._trace))
        self._said = folder / "said.txt"
        task.write(folder / "task.json")
        with self._said.open("wb") as stream:
            self._process = subprocess.Popen(
                [*child, str(folder / "task.json")], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )

    def finish(self) -> None:
        """Wait until it is done.

        Raises:
            RunError: it failed.
        """
        self._end(was_killed=False)

    def kill(self, update: int, moment: float) -> int | None:
        """Kill it with SIGKILL some time after an update.

        Args:
            update: after which; it may be a later one, if that has been made before.
            moment: when in the time that an update takes, 0 to 1.

        Returns:
            the last update that was made, or None if the training came to its end before.

        Raises:
            RunError: it failed by itself.
        """
        was_killed = False
        while self._process.poll() is None and not was_killed:
            time.sleep(LOOK_SECONDS)
            notes = self._notes()
            if notes and notes[-1]["update"] >= update:
                time.sleep(moment * _pace(notes))
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(notes[-1]["process"], signal.SIGKILL)
                    was_killed = True
        code = self._end(was_killed=was_killed)
        return None if code == 0 else int(self._notes()[-1]["update"])

    def _notes(self) -> list[dict[str, Any]]:
        """Of the updates of this session."""
        return read_trace(self._trace)[self._before :]

    def _end(self, *, was_killed: bool) -> int:
        try:
            code = self._process.wait()
        finally:
            self._process.kill()  # of one that is still there: this process was interrupted
        if code != 0 and not was_killed:
            said = self._said.read_text(errors="replace").strip()[-ERRORS_SHOWN:]
            raise RunError(
                f"the training that was to be verified failed by itself (exit code {code}):\n{said}",
                expected="a training that works",
                advice="Make it work with `mtkit train` first.",
            )
        return code


def _pace(notes: list[dict[str, Any]]) -> float:
    """Seconds from one update to the next."""
    if len(notes) < 2:
        return LOOK_SECONDS
    seconds = float(notes[-1]["time"] - notes[0]["time"])
    return max(0.0, seconds) / (len(notes) - 1)  # the clock may have been set back


def _newest(checkpoints: Path) -> int:
    """The update of the newest checkpoint; 0 if there is none."""
    names = (path.name for path in checkpoints.glob("[0-9]*"))
    return max((int(name.partition("-")[0]) for name in names), default=0)


def _stage(recipe: Recipe, name: str | None) -> Stage:
    names = of_kind(recipe, "train")
    if name is None and len(names) == 1:
        return recipe.stages[names[0]]
    if name not in names:
        raise RecipeError(
            f"{name!r} is no train stage" if name else f"the recipe has {len(names)} train stages",
            where=str(recipe.path),
            expected=f"--stage with one of {', '.join(names)}",
            advice="Name the stage that is to be verified.",
        )
    return recipe.stages[name]


def _earlier(recipe: Recipe, stage: Stage, store: Store, own: Store, context: RunContext) -> dict[str, Path]:
    """Role → folder of what the stage reads: stored already, or made in a store of our own."""
    folders: dict[str, Path] = {}
    for item in plan(needed(recipe, list(stage.reads.values())), recipe, store, {}):
        name = item.stage.name
        folders[name] = item.folder
        if not item.is_stored:
            reads = {role: folders[read] for role, read in item.stage.reads.items()}
            make(item, reads, recipe, own, context)
            folders[name] = own.folder(item.ingredients.kind, item.fingerprint)
    return {role: folders[name] for role, name in stage.reads.items()}


def _too_short(found: str) -> RunError:
    return RunError(
        f"nothing could be proved: {found}",
        expected="a training that is killed in its middle",
        advice="Verify more updates (`--updates`).",
    )
