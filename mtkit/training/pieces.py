"""A batch that does not fit in the memory is computed in smaller pieces: halves of its pairs, if need be
halves of those, down to one pair. What is computed is not known here; memory that runs out where nothing can
be cut is `shortage.py`'s business.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from mtkit.batches.batch import Batch
from mtkit.errors import RunError
from mtkit.model.dropout import Rows
from mtkit.model.products import NO_KERNEL

Result = TypeVar("Result")

# What torch's allocator of CPU memory says; it has no exception of its own. (Linux, macOS; Windows; cuBLAS;
# CUDA, its driver and Triton, where torch's allocator of GPU memory has not been asked; oneDNN)
SAID_BY_ALLOCATORS = (
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "[CUDA]: out of memory",
    "could not create a memory",
    NO_KERNEL,
)


class Split(NamedTuple):
    """A batch that ran out of memory: its shape, and in how many pieces it fitted.

    Attributes:
        line: number of its first pair's line, from 1.
        pairs: sentence pairs.
        source: tokens of the longest source.
        target: tokens of the longest target.
        pieces: in which it was computed.
    """

    line: int
    pairs: int
    source: int
    target: int
    pieces: int

    def __str__(self) -> str:
        return f"{self.pairs} pairs of up to {self.source} and {self.target} tokens in {self.pieces} pieces"


def in_pieces_if_needed(
    batch: Batch,
    compute: Callable[[Batch, Rows | None], Result],
    add: Callable[[Result, Result], Result],
    split_name: str = "training",
) -> tuple[Result, Split | None]:
    """What is computed of a batch, in one piece or in as many as the memory asks for.

    Pieces keep the padding of the whole and, on a CPU, what is dropped out, so that their sum is the result
    of the whole to rounding. Pieces on another device drop out values of their own, decided by the
    micro-batch's seed and the piece.

    Args:
        batch: on the CPU.
        compute: what is wanted of some of its pairs, and which of the batch they are if not all.
        add: puts the results of two pieces together.
        split_name: `training` or `validation`: whose pairs they are.

    Returns:
        The result, and what became of the batch if it did not fit.

    Raises:
        RunError: one pair by itself does not fit.
    """
    pairs = len(batch)
    found = attempted(partial(compute, batch, None))
    if found is not None:
        return found, None
    waiting, done = halves(batch, Rows(0, pairs, pairs), split_name)[::-1], 0
    while waiting:
        rows = waiting.pop()
        more = attempted(partial(compute, batch.part(rows.first, rows.last), rows))
        if more is None:
            waiting += halves(batch, rows, split_name)[::-1]
        else:
            found = more if found is None else add(found, more)
            done += 1
    assert found is not None, "there was at least one piece"
    return found, split_of(batch, done)


def split_of(batch: Batch, pieces: int) -> Split:
    """What is told of a micro-batch that was computed in so many pieces."""
    return Split(
        int(batch.rows.min()) + 1, len(batch), batch.source.shape[1], batch.target_out.shape[1], pieces
    )


def attempted(compute: Callable[[], Result]) -> Result | None:
    """What is computed, or None if the memory does not suffice; all that was in it by then is let go."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception says that there is not enough memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID_BY_ALLOCATORS)


def halves(batch: Batch, rows: Rows, split_name: str = "training") -> list[Rows]:
    """Both halves of some rows of a batch.

    Raises:
        RunError: it is one row.
    """
    if rows.last - rows.first == 1:
        raise _one_pair(batch.part(rows.first, rows.last), split_name)
    middle = (rows.first + rows.last) // 2
    return [Rows(rows.first, middle, rows.of), Rows(middle, rows.last, rows.of)]


def _one_pair(piece: Batch, split_name: str) -> RunError:
    needed = "gradients" if split_name == "training" else "loss"
    return RunError(
        f"the memory does not hold the {needed} of one pair of {piece.source_tokens} source and"
        f" {piece.target_tokens} target tokens",
        where=f"line {int(piece.rows[0]) + 1} of the {split_name} pairs",
        expected="memory for at least one pair",
        advice="Lower `max_tokens` or the size of the model, end other programs, or take a machine with more"
        " memory.",
    )
