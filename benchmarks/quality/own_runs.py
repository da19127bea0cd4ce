"""mtkit's own points: for each time a training that is planned to end there, by the rate that was measured.

The schedule ends with the training (warm-up, plateau, decay), so a score after M minutes is that of a
training of M minutes, not of a longer one cut off. The recipe is told a number of updates and no time: a
training that looked at a clock could not be repeated. So a short stretch is measured first and each training
after that tells the next one how fast the machine was; by how much the minutes were missed is recorded.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.commands import Command, run_to_end
from benchmarks.quality.points import Point, now
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.files import canonical_hash, read_json, read_lines, write_json
from mtkit.pipeline.kinds import KINDS

STRETCH_UPDATES = 240  # of the measuring stretch; 60 foretold 8 to 10 % too much of five minutes and more
STEADY_FROM = 20  # its first updates are slower: memory is being got, caches are cold
AT_LENGTH = re.compile(r"(\d+(?:\.\d+)?):(.+)")
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
        overrides: `PATH=VALUE`, as `mtkit run --set` takes them; `MINUTES:PATH=VALUE` for one length only.
        work: folder for everything.
        environment: of the commands.
    """

    peer = False

    def __init__(
        self, name: str, recipe: Path, overrides: Sequence[str], work: Path, environment: Mapping[str, str]
    ) -> None:
        self.name, self.path, self.given = name, recipe, tuple(overrides)
        self._work, self._environment = work, environment
        self._paces: dict[str, Pace] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Of the recipe, and what is different at some lengths."""
        at_lengths = [text for text in self.given if AT_LENGTH.match(text)]
        return {"recipe": _settings(self._recipe(None)), "at_lengths": at_lengths}

    def identity(self, minutes: float | None) -> str:
        """Hash of the settings of a length; None: of those for no length in particular."""
        return canonical_hash(_settings(self._recipe(minutes)))[:12]

    def points(self, minutes: Sequence[float]) -> Iterator[Point]:
        """Train and score, one time after the other.

        Raises:
            RunError: mtkit failed.
        """
        for asked in minutes:
            folder = self._folder(asked, f"{asked:g}")
            trained = self._trained(folder, asked)
            overrides = self._overrides(asked, trained.updates)
            run_recipe(self.path, overrides, "score", folder, self._environment)
            how = f"a training planned for {asked:g} minutes"
            yield self._point(folder, asked, trained.minutes, trained.updates, how)

    def _point(self, folder: Path, asked: float, minutes: float, updates: int, how: str) -> Point:
        scores = read_json(self._link(folder, "score") / "scores.json")
        return Point(
            system=self.name,
            peer=self.peer,
            asked_minutes=asked,
            minutes=minutes,
            updates=updates,
            scores={score["metric"]: score["value"] for score in scores},
            signatures={score["metric"]: score["signature"] for score in scores},
            how=how,
            settings=self.identity(asked),
            date=now(),
        )

    def _recipe(self, minutes: float | None) -> Recipe:
        return read_recipe(self.path, KINDS, overrides_at(self.given, minutes))

    def _folder(self, minutes: float | None, what: str) -> Path:
        return self._work / f"{self.name}-{self.identity(minutes)}-{what}"

    def _trained(self, folder: Path, minutes: float) -> Trained:
        """Train for a time, unless an earlier session of the benchmark did."""
        noted = folder / "trained.json"
        if noted.exists():
            value = read_json(noted)
            trained = Trained(value["minutes"], value["updates"], Pace(**value["pace"]))
        else:
            trained = self._train(folder, minutes, self._pace(minutes).updates_in(minutes))
            write_json(noted, {**vars(trained), "pace": vars(trained.pace)})
        self._paces[self.identity(minutes)] = trained.pace
        return trained

    def _pace(self, minutes: float) -> Pace:
        """How fast these settings were the last time, or are in a short stretch."""
        identity = self.identity(minutes)
        if identity not in self._paces:
            trained = self._train(self._folder(minutes, "stretch"), minutes, STRETCH_UPDATES)
            self._paces[identity] = trained.pace
        return self._paces[identity]

    def _train(self, folder: Path, minutes: float, updates: int) -> Trained:
        seconds = self._timed(folder, self._overrides(minutes, updates))
        return Trained(seconds / 60, updates, pace_of(self._link(folder, "train"), updates, seconds))

    def _timed(self, folder: Path, overrides: tuple[str, ...]) -> float:
        """Train from nothing; returns the seconds of the training command."""
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted session left would spoil the clock
        # Cutting text into pieces is not timed: peers get theirs for nothing too.
        run_recipe(self.path, overrides, "subword", folder, self._environment)
        return run_recipe(self.path, overrides, "train", folder, self._environment)

    def _overrides(self, minutes: float | None, updates: int) -> tuple[str, ...]:
        """All that the recipe is told for a length."""
        warmup = self._recipe(minutes).stages["train"].settings.model_dump()["schedule"]["warmup_updates"]
        lengths = [f"until.updates={updates}", f"validate.every={updates} updates"]
        if warmup > updates // 4:
            lengths.append(f"schedule.warmup_updates={updates // 4}")
        settings = (f"stages.train.{length}" for length in lengths)
        return last_of_each([*overrides_at(self.given, minutes), *settings])

    def _link(self, folder: Path, stage: str) -> Path:
        return folder / "runs" / self._recipe(None).name / stage


def overrides_at(given: Sequence[str], minutes: float | None) -> tuple[str, ...]:
    """The overrides that hold for a length: `20:PATH=VALUE` only for 20 minutes, and wins there."""
    for_all = [text for text in given if not AT_LENGTH.match(text)]
    matches = (match for text in given if (match := AT_LENGTH.match(text)))
    return last_of_each([*for_all, *(match[2] for match in matches if float(match[1]) == minutes)])


def last_of_each(overrides: Sequence[str]) -> tuple[str, ...]:
    """Overrides without those that a later one of the same path replaces."""
    return tuple({text.partition("=")[0]: text for text in overrides}.values())


def _settings(recipe: Recipe) -> dict[str, Any]:
    """All settings of all stages."""
    return {
        stage.name: stage.settings.model_dump(mode="json", by_alias=True) for stage in recipe.stages.values()
    }


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
