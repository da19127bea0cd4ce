"""Running a recipe with several processes: rank 0 leads and does all of it, the others join in training.

What rank 0 tells the others is in `orders.py`. Imports torch inside functions only.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.pipeline.orders import orders
from mtkit.training.place import LOST, Place

if TYPE_CHECKING:
    from mtkit.training.processes import Group

LOOK_SECONDS = 1.0  # between two looks whether torchrun's agent is there
ORPHAN_SECONDS = 30.0  # to stop in an orderly way once the launcher is gone
INTERRUPTED = 130


@contextmanager
def together(place: Place, context: RunContext) -> Iterator[RunContext]:
    """The context to run a recipe with, among the processes of a place; of several one tells what goes wrong.

    Raises:
        RunError: they did not meet, or this machine has not what each of them needs.
        SystemExit: another process has told what went wrong, or will.
    """
    _die_with_the_launcher(place)
    if place.count == 1:
        yield context
        return
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # read when torch is loaded: its warnings say nothing
    from mtkit.training.meeting import LostError, Meeting, as_lost
    from mtkit.training.processes import group_of

    context = _placed(place, context)
    crowded = _crowded(context.device, place)
    meeting = Meeting(place)
    group: Group | None = None
    was_left_alone = False
    try:
        group = group_of(meeting, context.device)
        if crowded and place.is_first:
            context.say(crowded)
        yield replace(context, quiet=context.quiet or not place.is_first, processes=group)
    except KeyboardInterrupt as error:
        meeting.may_tell(error)
        if place.is_first:
            raise
        raise SystemExit(INTERRUPTED) from error
    except Exception as error:
        meant = as_lost(error)
        was_left_alone = isinstance(meant, LostError)
        if meeting.may_tell(meant):
            raise meant from (None if meant is error else error)
        raise SystemExit(LOST if place.is_watched else 1) from error
    finally:
        if group is not None:
            group.close()
        if not was_left_alone:
            meeting.leave()


def follow(context: RunContext) -> None:
    """Train what rank 0 trains, until it needs no more.

    Raises:
        RunError: the folder of rank 0 is not seen here.
        LostError: rank 0 is gone.
    """
    from mtkit.pipeline.stages import train_along

    for order in orders(context):
        train_along(order.settings, order.reads, order.folder, replace(context, seed=order.seed))


def _placed(place: Place, context: RunContext) -> RunContext:
    """The context with what this process computes on; what all here lack is told by the first.

    Raises:
        RunError: this machine has not what each of them needs.
        SystemExit: likewise, and another process tells it.
    """
    from mtkit.training.processes import each_of

    try:
        return each_of(place, context)
    except RunError:
        if place.local_rank == 0:
            raise
        raise SystemExit(LOST if place.is_watched else 1) from None


def _crowded(device: str, place: Place) -> str:
    """What to say if processes take the cores from each other; empty if they need not."""
    from mtkit.model.cores import available_cores

    cores = available_cores()
    if device.startswith("cuda") or place.local_count <= cores:
        return ""
    return (
        f"{place.local_count} processes share {cores} {'core' if cores == 1 else 'cores'}: slower than"
        f" `--processes {cores}`"
    )


def _die_with_the_launcher(place: Place) -> None:
    """Stop in an orderly way when our launcher, or torchrun's agent, is killed; by force if that lasts."""
    if place.watcher is None and not place.has_agent:
        return
    parent = os.getppid()

    def watch() -> None:
        if place.watcher is not None:
            os.read(place.watcher, 1)  # nothing is ever written: it returns when the launcher is gone
        while place.watcher is None and os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os._exit(LOST)

    threading.Thread(target=watch, name="launcher-watch", daemon=True).start()
