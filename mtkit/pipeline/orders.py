"""What rank 0 tells the processes that follow it: train this, there; or that nothing more is to be done.

They need not read the recipe: the settings of a train stage come with the order.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.config.training import TrainSettings
from mtkit.errors import MtkitError, RunError
from mtkit.files import read_text
from mtkit.log import RunContext
from mtkit.pipeline.store import SESSIONS

if TYPE_CHECKING:
    from mtkit.training.processes import Group

FOLDER_SECONDS = 30.0  # until what one machine wrote must be seen by another


@dataclass(frozen=True)
class Order:
    """A stage to train.

    Attributes:
        settings: of the stage.
        reads: role → folder of a finished stage.
        folder: where rank 0 writes.
        seed: the recipe's.
    """

    settings: TrainSettings
    reads: dict[str, Path]
    folder: Path
    seed: int


def announce(settings: TrainSettings, reads: dict[str, Path], out: Path, run: RunContext) -> None:
    """Tell those that follow what is trained now, and where."""
    if run.processes is None or not _group(run).is_first:
        return
    order: dict[str, Any] = {
        "settings": settings.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "reads": {role: str(path.resolve()) for role, path in reads.items()},
        "folder": str(out.resolve()),
        "sessions": read_text(out / SESSIONS),
        "seed": run.seed,
    }
    _group(run).meeting.order(order)


def dismiss(context: RunContext) -> None:
    """Tell those that follow that nothing more is to be done."""
    if context.processes is not None:
        _group(context).meeting.order(None)


def orders(context: RunContext) -> Iterator[Order]:
    """What rank 0 announces, one after the other, until it dismisses.

    Raises:
        RunError: the folder of rank 0 is not seen here.
        LostError: rank 0 is gone, or another process failed.
    """
    meeting = _group(context).meeting
    while (told := meeting.next_order()) is not None:
        folder = Path(told["folder"])
        _check_folder(folder, told["sessions"], context)
        yield Order(
            TrainSettings.model_validate(told["settings"], strict=False),
            {role: Path(path) for role, path in told["reads"].items()},
            folder,
            told["seed"],
        )


def _check_folder(folder: Path, sessions: str, context: RunContext) -> None:
    """See that the folder is the one that rank 0 writes to; on a network it may take a moment to appear."""
    until = time.monotonic() + FOLDER_SECONDS
    found = ""
    while time.monotonic() < until:
        try:
            if read_text(folder / SESSIONS) == sessions:
                return
            found = "this is another folder than rank 0's"
        except MtkitError:
            found = "there is no such folder"
        time.sleep(0.1)
    raise RunError(
        f"{found}, as seen by rank {_group(context).share.rank}",
        where=str(folder),
        expected="the folder that rank 0 writes to, under the same path on every machine",
        advice="Put `--runs` on a file system that all machines share.",
    )


def _group(context: RunContext) -> "Group":
    from mtkit.training.processes import Group

    assert isinstance(context.processes, Group)
    return context.processes
