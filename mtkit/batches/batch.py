"""A batch: the tensors of some sentence pairs, padded to the longest; and the batches of an update.

Which pairs go together is `plan.py`'s business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtkit.batches.packed import Layout, Packed, pack
from mtkit.subword.vocabulary import BOS, EOS, PAD, Ids


@dataclass(frozen=True)
class Batch:
    """Sentence pairs as tensors; `B` pairs, `S` source tokens and `T` target tokens of the longest.

    Attributes:
        source: ids, each sentence ends in EOS. [B, S] int64
        source_is_token: True where a token stands, EOS included. [B, S] bool
        target_in: what the decoder reads, BOS first. [B, T] int64
        target_out: what the decoder is to say, EOS last. [B, T] int64
        target_is_token: True where a token stands in target_out, EOS included. [B, T] bool
        rows: line numbers in the corpus, from 0; stays on the CPU. [B] int64
        source_tokens: how many tokens the source holds, EOS counted, PAD not.
        target_tokens: how many tokens the target holds, EOS counted, PAD not.
        packed: the same pairs without padding, if that is how they are computed.
    """

    source: Tensor
    source_is_token: Tensor
    target_in: Tensor
    target_out: Tensor
    target_is_token: Tensor
    rows: Tensor
    source_tokens: int
    target_tokens: int
    packed: Packed | None = None

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def positions(self) -> int:
        """Positions of both sides, padding or filler included: what the batch costs."""
        if self.packed is not None:
            return self.packed.positions
        return self.source.numel() + self.target_out.numel()

    def pack(self, longest: int) -> "Batch":
        """The batch, on the CPU, with its packed form, in which it is computed from now on.

        Args:
            longest: most tokens that a side of any batch of the training has.
        """
        padded = (self.source, self.source_is_token, self.target_in, self.target_out, self.target_is_token)
        return replace(self, packed=pack(*padded, longest))

    def part(self, first: int, last: int) -> "Batch":
        """The pairs from `first` to the one before `last`, padded or packed as they are; on the CPU."""
        rows = slice(first, last)
        source_is_token, target_is_token = self.source_is_token[rows], self.target_is_token[rows]
        part = Batch(
            source=self.source[rows],
            source_is_token=source_is_token,
            target_in=self.target_in[rows],
            target_out=self.target_out[rows],
            target_is_token=target_is_token,
            rows=self.rows[rows],
            source_tokens=int(source_is_token.sum()),
            target_tokens=int(target_is_token.sum()),
        )
        return part if self.packed is None else part.pack(self.packed.of_source.longest)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device; from pinned memory the CPU does not wait for the copy."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, from which a GPU copies without the CPU waiting."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        if self.packed is not None:  # the padded form is not computed: it stays where it is
            return replace(self, packed=_changed(self.packed, change))
        return replace(
            self,
            source=change(self.source),
            source_is_token=change(self.source_is_token),
            target_in=change(self.target_in),
            target_out=change(self.target_out),
            target_is_token=change(self.target_is_token),
        )


def _changed(packed: Packed, change: Callable[[Tensor], Tensor]) -> Packed:
    """A packed batch with each of its tensors changed."""

    def layout(of: Layout) -> Layout:
        return Layout(change(of.positions), change(of.starts), of.longest)

    ids = (change(packed.source), change(packed.target_in), change(packed.target_out))
    return Packed(*ids, layout(packed.of_source), layout(packed.of_target))


@dataclass(frozen=True)
class Update(Sequence[Batch]):
    """The micro-batches of an update that this process computes, and what the update is as a whole.

    Attributes:
        batches: those of this process; one process has all of them, of several one may have none.
        numbers: which of the update's micro-batches they are, from 0.
        rows: line numbers of all of the update's pairs, from 0. [pairs] int64
        source_tokens: of the whole update, EOS counted.
        target_tokens: of the whole update, EOS counted.
        positions: of both sides of the whole update, padding or filler included.
    """

    batches: Sequence[Batch]
    numbers: Sequence[int]
    rows: NDArray[np.int64]
    source_tokens: int
    target_tokens: int
    positions: int

    @classmethod
    def whole(cls, batches: Sequence[Batch]) -> "Update":
        """The update that consists of these micro-batches."""
        return cls(
            batches,
            range(len(batches)),
            np.concatenate([batch.rows.numpy() for batch in batches]),
            sum(batch.source_tokens for batch in batches),
            sum(batch.target_tokens for batch in batches),
            sum(batch.positions for batch in batches),
        )

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        return self.batches[index]

    def __len__(self) -> int:
        return len(self.batches)


def make_batch(
    sources: Sequence[Ids], targets: Sequence[Ids], rows: Sequence[int] | NDArray[np.integer]
) -> Batch:
    """Pad sentence pairs to tensors.

    Args:
        sources: source ids of each pair, without EOS.
        targets: target ids of each pair, without BOS and EOS.
        rows: the pairs' line numbers in the corpus.
    """
    assert len(sources) == len(targets) == len(rows) > 0, "a batch has as many sources as targets and rows"
    source, source_is_token = _padded(sources)
    target_out, target_is_token = _padded(targets)
    target_in = np.empty_like(target_out)
    target_in[:, 0] = BOS
    # EOS is never read: the sentence is over when it is said.
    target_in[:, 1:] = np.where(target_is_token[:, 1:], target_out[:, :-1], PAD)
    return Batch(
        source=torch.from_numpy(source),
        source_is_token=torch.from_numpy(source_is_token),
        target_in=torch.from_numpy(target_in),
        target_out=torch.from_numpy(target_out),
        target_is_token=torch.from_numpy(target_is_token),
        rows=torch.from_numpy(np.asarray(rows, dtype=np.int64).copy()),
        source_tokens=int(source_is_token.sum()),
        target_tokens=int(target_is_token.sum()),
    )


def _padded(sentences: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sentences with EOS behind each, padded to the longest, and where tokens stand. [B, T]"""
    lengths = np.fromiter((len(ids) for ids in sentences), dtype=np.int64, count=len(sentences))
    positions = np.arange(lengths.max() + 1)
    padded = np.full((len(sentences), len(positions)), PAD, dtype=np.int64)
    padded[positions < lengths[:, None]] = np.concatenate(
        [np.asarray(ids, dtype=np.int64) for ids in sentences]
    )
    padded[np.arange(len(sentences)), lengths] = EOS
    return padded, positions <= lengths[:, None]
