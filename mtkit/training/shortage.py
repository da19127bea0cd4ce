"""Memory that runs out where nothing can be cut into smaller pieces: what a person is told, instead of
torch's own words. What can be cut is `pieces.py`'s business.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mtkit.batches.stream import WHOLE, Share
from mtkit.config.training import FixedTrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training.memory import expected, human, memory_of
from mtkit.training.pieces import is_out_of_memory

NAMES = {"adamw": "AdamW", "muon": "Muon"}
SMALLER = "lower `model.dim`, `model.ffn_dim`, the layers or the vocabulary"
OTHERS = "end other programs, or take a machine with more memory"


@contextmanager
def enough_for_step(
    settings: FixedTrainSettings, model: Transformer, update: int, share: Share, last: Callable[[], str]
) -> Iterator[None]:
    """The optimiser's step of an update.

    Args:
        settings: name what takes the memory.
        model: on its device.
        update: its number.
        share: tells which process this is.
        last: says which checkpoint is the last good one.

    Raises:
        RunError: the memory ran out. The weights may be half-way between two updates by then: they are not
            to be used, and not to be saved.
    """
    with _told(lambda _: _no_step(settings, model, update, share, last())):
        yield


@contextmanager
def enough_for_training(device: torch.device) -> Iterator[None]:
    """Everything of a training for which there is no better message.

    Raises:
        RunError: the memory ran out.
    """
    with _told(lambda error: _full(error, device)):
        yield


def too_small_for_a_sentence(device: torch.device) -> RunError:
    """What is told where a validation cannot translate even one sentence at a time."""
    return RunError(
        "the memory does not hold the translation of one sentence of the validation set",
        where=str(device),
        expected="memory for at least one sentence",
        advice=f"Lower `validate.beam_size` or `max_tokens`, {OTHERS}; the same command goes on from the last"
        " checkpoint.",
    )


@contextmanager
def enough_for_copies(folder: Path, last: Path | None) -> Iterator[None]:
    """The copying of all that a checkpoint holds, also of a GPU's weights, into the computer's memory.

    Args:
        folder: of the checkpoints.
        last: the newest that is whole on disk, if there is one.

    Raises:
        RunError: the memory ran out.
    """
    with _told(lambda _: _no_copies(folder, last)):
        yield


@contextmanager
def _told(message: Callable[[BaseException], RunError]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise message(error) from error


def last_checkpoint_said(last: Path | None, folder: Path, share: Share) -> str:
    """Which checkpoint is the last good one; only the first process knows."""
    if share.rank > 0:
        return f"The last checkpoint in {folder} stays; the same command goes on from it."
    if last is None:
        return "There is no checkpoint yet."
    return f"The last good checkpoint is {last}; the same command goes on from it."


def _no_copies(folder: Path, last: Path | None) -> RunError:
    memory = memory_of(torch.device("cpu"))
    free = f", of which {human(memory.free)} are free" if memory else ""
    return RunError(
        f"the computer's memory{free} does not hold the copy that a checkpoint is written from",
        where=str(folder),
        expected="memory for weights, what the optimiser remembers and `ema_decay`'s average once more",
        advice=f"Smaller batches do not help here: {OTHERS}, or {SMALLER}."
        f" {last_checkpoint_said(last, folder, WHOLE)}",
    )


def _no_step(
    settings: FixedTrainSettings, model: Transformer, update: int, share: Share, last: str
) -> RunError:
    needed = expected(settings, model, 0, 0, 1, shards=share.count if settings.shard else 1)
    size = needed.weights + needed.gradients + needed.optimizer + needed.average
    optimizer = NAMES[settings.optimizer.kind]
    memory = memory_of(model.device)
    free = f", and {human(memory.free)} are free" if memory else ""
    return RunError(
        f"the memory is full: weights, gradients and what {optimizer} remembers of them take"
        f" {human(size)} of each process{free}",
        where=f"update {update}{_rank(share)}, the optimiser's step on {model.device}",
        expected="memory for all of them at once, whatever the size of the batch",
        advice=f"Smaller batches do not help here. {'; or '.join(_remedies(settings, model, share))}. {last}",
    )


def _remedies(settings: FixedTrainSettings, model: Transformer, share: Share) -> Iterator[str]:
    """What takes less memory, the least change first."""
    if settings.ema_decay:
        yield "Remove `ema_decay`, which keeps the weights twice"
    if settings.optimizer.kind == "adamw":
        yield "Set `optimizer: {kind: muon}`, which remembers half as much of the layers' matrices"
    elif model.device.type == "cuda":
        yield "Set `optimizer: {kind: adamw}`, whose step needs no room for itself"
    if not settings.shard:
        several = "" if share.count > 1 else " with several processes"
        yield f"Set `shard: true`{several}, which shares all of it out"
    yield f"{SMALLER}; {OTHERS}"


def _full(error: BaseException, device: torch.device) -> RunError:
    asked = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    memory = memory_of(device)
    found = "the memory is full" + (f": {asked.group(1)} more were asked for" if asked else "")
    return RunError(
        found + (f", {human(memory.free)} are free" if memory else ""),
        where=str(device),
        expected="memory for the model, its optimiser and a micro-batch",
        advice=f"Set `accumulate: auto`, lower `batch_tokens`, {SMALLER}, {OTHERS}; the same command goes on"
        " from the last checkpoint.",
    )


def _rank(share: Share) -> str:
    return f", rank {share.rank}" if share.count > 1 else ""
