"""What was measured: points of systems (minutes of training, scores), and the JSON file that holds them.

A point is written the moment it is finished, so that a crash loses no finished training. What is concluded
from the points is in `curves.py`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from mtkit.errors import DataError, RunError
from mtkit.files import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Point:
    """One system's scores after one time of training.

    Attributes:
        system: its name.
        peer: True for other people's systems.
        asked_minutes: the time that was to be measured.
        minutes: the time that the training command really had, its start included.
        updates: made by then; None if the system does not tell.
        scores: by metric, of the test set translated with beam 5.
        signatures: sacreBLEU's, by metric.
        how: where the weights come from, for people.
        settings: hash of what the system was trained with.
        date: when it was finished, ISO 8601.
    """

    system: str
    peer: bool
    asked_minutes: float
    minutes: float
    updates: int | None
    scores: Mapping[str, float]
    signatures: Mapping[str, str]
    how: str
    settings: str
    date: str

    @property
    def deviation(self) -> float:
        """How much more (or, negative, less) time there was than asked for, as a share of it."""
        return self.minutes / self.asked_minutes - 1


@dataclass
class Record:
    """All points of a comparison, and a file that always holds them.

    Attributes:
        path: the JSON file.
        conditions: what all points share and must share: corpus, cores, seed, settings.
        about: machine, versions: for the reader; not compared.
        points: in the order in which they were finished.
    """

    path: Path
    conditions: dict[str, Any]
    about: dict[str, Any]
    points: list[Point] = field(default_factory=list)

    def add(self, point: Point) -> None:
        """Take a point in, in place of an earlier one of the same system and time, and write the file."""
        self.points = [*(other for other in self.points if _key(other) != _key(point)), point]
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        points = [asdict(point) for point in self.points]
        write_json(
            self.path,
            {"format": FORMAT, "conditions": self.conditions, "about": self.about, "points": points},
        )

    def check_processor(self, about: Mapping[str, Any]) -> None:
        """What is going to be measured belongs to the points that are there.

        Args:
            about: the present machine and versions.

        Raises:
            RunError: they were measured on another processor.
        """
        then, here = (one.get("machine", {}).get("processor") for one in (self.about, about))
        if then != here:
            _refuse(self.path, "processor", then, here, "Go on with it on that machine")

    def missing(self, system: str, identity: Callable[[float], str], minutes: Sequence[float]) -> list[float]:
        """The times at which a system was not measured yet with the settings that it has for them.

        Args:
            identity: of the settings for a time.
        """
        have = {(point.system, point.settings, point.asked_minutes) for point in self.points}
        return [asked for asked in minutes if (system, identity(asked), asked) not in have]


def open_record(path: Path, conditions: dict[str, Any], about: dict[str, Any], *, resume: bool) -> Record:
    """A new record, or the one that is to be gone on with.

    Args:
        conditions: what points must share to be comparable.
        about: machine and versions.
        resume: go on with the file if there is one.

    Raises:
        RunError: the file exists and is not to be gone on with, or was made under other conditions.
        DataError: it is no record.
    """
    if not path.exists():
        return Record(path, _plain(conditions), about)
    if not resume:
        raise RunError(
            "there are measured points already",
            where=str(path),
            expected="a new file",
            advice="Go on with it by `--resume`, or name another file by `--json`.",
        )
    record = read_record(path)
    for name, value in _plain(conditions).items():
        if record.conditions.get(name) != value:
            _refuse(path, name, record.conditions.get(name), value, "Give the same options as then")
    return record


def _refuse(path: Path, name: str, then: object, wanted: object, advice: str) -> NoReturn:
    raise RunError(
        f"its points were measured with {name} {json.dumps(then)}",
        where=str(path),
        expected=f"{name} {json.dumps(wanted)}: other points cannot be compared",
        advice=f"{advice}, or name another file by `--json`.",
    )


def read_record(path: Path) -> Record:
    """A record from its file.

    Raises:
        DataError: the file is missing or no record.
    """
    value = read_json(path, error=DataError)
    try:
        if value["format"] != FORMAT:
            raise KeyError("format")
        points = [Point(**point) for point in value["points"]]
        return Record(path, value["conditions"], value["about"], points)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"no record of format {FORMAT} ({error})",
            where=str(path),
            expected="a file written by this benchmark",
            advice="Name another file by `--json`.",
        ) from error


def now() -> str:
    """The date of a point that was just finished."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _key(point: Point) -> tuple[str, float]:
    return point.system, point.asked_minutes


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a JSON file: lists for tuples, text for keys."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
