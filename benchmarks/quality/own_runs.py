"""mtkit's own points: for each time a training that is planned to end there, by the rate that was measured.

The schedule ends with the training (warm-up, plateau, decay), so a score after M minutes is that of a
training of M minutes, not of a longer one cut off. The recipe is told a number of updates and no time: a
training that looked at a clock could not be repeated. So a short stretch is measured first and each training
after that tells the next one how fast the machine was; by how much the minutes were missed is recorded.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.commands import Command, run_to_end
from benchmarks.quality.points import Point, now
from mtkit.config.recipe import read_recipe
from mtkit.files import canonical_hash, read_json, read_lines, write_json
from mtkit.pipeline.kinds import KINDS

STRETCH_UPDATES = 60  # of the measuring stretch
STEADY_FROM = 20  # its first updates are slower: memory is being got, caches are cold
AIMED = 0.99  # of the time asked for: rather a little early than late


@dataclass(frozen=True)
class Pace:
    """How fast a training went.

    Attributes:
        seconds_per_update: once it was under way.
        other_seconds: all else from the start of the command to its end: start, ids, validation, saving.
    """

    seconds_per_update: float
    other_seconds: float

    def updates_in(self, minutes: float) -> int:
        """How many updates fit into a time."""
        return max(4, int((AIMED * 60 * minutes - self.other_seconds) / self.seconds_per_update))


@dataclass(frozen=True)
class Trained:
    """A finished training: what is remembered of it should the benchmark be stopped before it is scored."""

    minutes: float
    updates: int
    pace: Pace


class OwnRuns:
    """Trains a recipe at several lengths.

    Args:
        name: of the system in tables.
        recipe: path of the recipe.
        overrides: `PATH=VALUE`, as `mtkit run --set` takes them.
        work: folder for everything.
        environment: of the commands.
    """

    peer = False

    def __init__(
        self, name: str, recipe: Path, overrides: Sequence[str], work: Path, environment: Mapping[str, str]
    ) -> None:
        self.name, self.path, self.overrides = name, recipe, tuple(overrides)
        self.recipe = read_recipe(recipe, KINDS, overrides)
        self.settings: dict[str, Any] = {
            stage.name: stage.settings.model_dump(mode="json", by_alias=True)
            for stage in self.recipe.stages.values()
        }
        self.identity = canonical_hash(self.settings)[:12]
        self._work, self._environment = work, environment
        self._pace: Pace | None = None

    def points(self, minutes: Sequence[float]) -> Iterator[Point]:
        """Train and score, one time after the other.

        Raises:
            RunError: mtkit failed.
        """
        for asked in minutes:
            folder = self._folder(f"{asked:g}")
            trained = self._trained(folder, asked)
            self._run(folder, "score", trained.updates)
            scores = read_json(self._link(folder, "score") / "scores.json")
            yield Point(
                system=self.name,
                peer=self.peer,
                asked_minutes=asked,
                minutes=trained.minutes,
                updates=trained.updates,
                scores={score["metric"]: score["value"] for score in scores},
                signatures={score["metric"]: score["signature"] for score in scores},
                how=f"a training planned for {asked:g} minutes",
                settings=self.identity,
                date=now(),
            )

    def _folder(self, what: str) -> Path:
        return self._work / f"{self.recipe.name}-{self.identity}-{what}"

    def _trained(self, folder: Path, minutes: float) -> Trained:
        """Train for a time, unless an earlier session of the benchmark did."""
        noted = folder / "trained.json"
        if noted.exists():
            value = read_json(noted)
            trained = Trained(value["minutes"], value["updates"], Pace(**value["pace"]))
        else:
            pace = self._pace or self._stretch()
            trained = self._train(folder, pace.updates_in(minutes))
            write_json(noted, {**vars(trained), "pace": vars(trained.pace)})
        self._pace = trained.pace
        return trained

    def _stretch(self) -> Pace:
        """Measure how fast this machine is with these settings."""
        return self._train(self._folder("stretch"), STRETCH_UPDATES).pace

    def _train(self, folder: Path, updates: int) -> Trained:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted session left would spoil the clock
        self._run(folder, "subword", updates)  # not timed: other systems get their pieces for nothing too
        seconds = self._run(folder, "train", updates)
        return Trained(seconds / 60, updates, pace_of(self._link(folder, "train"), updates, seconds))

    def _run(self, folder: Path, goal: str, updates: int) -> float:
        overrides = (*self.overrides, *self._lengths(updates))
        return run_recipe(self.path, overrides, goal, folder, self._environment)

    def _lengths(self, updates: int) -> list[str]:
        """The settings that depend on the length of a training."""
        warmup = self.recipe.stages["train"].settings.model_dump()["schedule"]["warmup_updates"]
        lengths = [f"until.updates={updates}", f"validate.every={updates} updates"]
        if warmup > updates // 4:
            lengths.append(f"schedule.warmup_updates={updates // 4}")
        return [f"stages.train.{length}" for length in lengths]

    def _link(self, folder: Path, stage: str) -> Path:
        return folder / "runs" / self.recipe.name / stage


def run_recipe(
    recipe: Path, overrides: Sequence[str], goal: str, folder: Path, environment: Mapping[str, str]
) -> float:
    """`mtkit run` in a process of its own, with a store of its own in `folder`; returns its seconds."""
    words = [sys.executable, "-m", "mtkit", "run", str(recipe), "--goal", goal, "--quiet"]
    words += ["--runs", str(folder / "runs")]
    for override in overrides:
        words += ["--set", override]
    return run_to_end(Command(words, folder / "log.txt", environment))


def pace_of(train_folder: Path, updates: int, seconds: float) -> Pace:
    """How fast a finished training went.

    Args:
        train_folder: of its stage; its events tell when updates were made.
        updates: how many it made.
        seconds: that the whole command took.
    """
    events = [json.loads(line) for line in read_lines(train_folder / "events.jsonl")]
    made = [(event["update"], event["training_seconds"]) for event in events if event["event"] == "update"]
    steady = [item for item in made if item[0] >= STEADY_FROM] or made
    first, last = steady[0], steady[-1]
    if last[0] == first[0]:
        first = (0, 0.0)
    rate = (last[1] - first[1]) / (last[0] - first[0])
    return Pace(rate, max(0.0, seconds - rate * updates))
