"""The two sides of a split as files, written together: both appear when the block ends well, or neither."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from mtkit.corpus.chunk import SIDES, Chunk
from mtkit.files import atomic


class PairWriter:
    """Writes chunks to `folder/split.source` and `folder/split.target`.

    Args:
        folder: where the files go.
        split: train, valid or test.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._paths = [folder / f"{split}.{side}" for side in SIDES]
        self._stack = ExitStack()
        self._streams: list[BinaryIO] = []
        self.pairs = 0

    def write(self, chunk: Chunk) -> None:
        """Append the pairs of a chunk."""
        if not len(chunk):
            return
        for stream, side in zip(self._streams, SIDES, strict=True):
            stream.write(("\n".join(chunk.texts[side]) + "\n").encode("utf-8"))
        self.pairs += len(chunk)

    def __enter__(self) -> "PairWriter":
        self._streams = [self._stack.enter_context(atomic(path)) for path in self._paths]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
