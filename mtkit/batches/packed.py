"""A batch without padding, for a GPU: the tokens of its sentences one after the other, as rows.

Behind the last sentence stand filler tokens, a sentence of their own that no other sees, so that the number
of rows is a multiple of `ROWS`. Everything is counted here, on the CPU: a device need not be asked.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtkit.subword.vocabulary import PAD

# A tile of a GPU's matrix products and of its attention has so many rows: they would be computed anyway. And
# the fewer totals there are, the sooner the allocator has memory of the right size, and nothing that is
# compiled sees an odd one. It costs 64 rows a side in the mean, of thousands.
ROWS = 128


class Layout(NamedTuple):
    """Where the sentences of one side lie; `M` rows of `B` sentences and of the filler.

    Attributes:
        positions: of each token in its sentence, from 0; those of the filler are 0. [M] int64
        starts: the first row of each sentence and of the filler, and M. [B + 2] int32
        longest: most tokens of a sentence, or of the filler. A constant of a training where possible, since
            compiled code is made for one value of it.
    """

    positions: Tensor
    starts: Tensor
    longest: int


class Packed(NamedTuple):
    """The sentence pairs of a batch as rows, the filler last on both sides.

    Attributes:
        source: ids, each sentence ends in EOS. [M] int64
        target_in: what the decoder reads, each sentence begins with BOS. [N] int64
        target_out: what the decoder is to say, each sentence ends in EOS; none for the filler: these are the
            first rows of the N. [target tokens] int64
        of_source: where the sources lie.
        of_target: where the targets lie.
    """

    source: Tensor
    target_in: Tensor
    target_out: Tensor
    of_source: Layout
    of_target: Layout

    @property
    def positions(self) -> int:
        """Rows of both sides, filler included: what the batch costs."""
        return self.source.numel() + self.target_in.numel()


def filled(tokens: int) -> int:
    """The rows of so many tokens with their filler, of which there is always some.

    A side without filler would leave the other side's filler nothing to attend to.
    """
    return (tokens // ROWS + 1) * ROWS


def pack(
    source: Tensor,
    source_is_token: Tensor,
    target_in: Tensor,
    target_out: Tensor,
    target_is_token: Tensor,
    longest: int,
) -> Packed:
    """Lay the tokens of a padded batch, on the CPU, one after the other.

    Args:
        source: see `batch.Batch`. [B, S]
        source_is_token: [B, S].
        target_in: [B, T].
        target_out: [B, T].
        target_is_token: [B, T].
        longest: most tokens that a side of any batch of the training has.
    """
    of_source, of_target = (mask.numpy() for mask in (source_is_token, target_is_token))
    return Packed(
        source=_rows(source, of_source),
        target_in=_rows(target_in, of_target),
        target_out=torch.from_numpy(target_out.numpy()[of_target]),
        of_source=_layout(of_source, longest),
        of_target=_layout(of_target, longest),
    )


def _rows(ids: Tensor, is_token: NDArray[np.bool_]) -> Tensor:
    """The ids at tokens, and filler. [M]"""
    tokens = ids.numpy()[is_token]
    rows = np.full(filled(len(tokens)), PAD, dtype=np.int64)
    rows[: len(tokens)] = tokens
    return torch.from_numpy(rows)


def _layout(is_token: NDArray[np.bool_], longest: int) -> Layout:
    lengths = is_token.sum(axis=1)  # [B]
    tokens = int(lengths.sum())
    positions = np.zeros(filled(tokens), dtype=np.int64)
    positions[:tokens] = np.broadcast_to(np.arange(is_token.shape[1]), is_token.shape)[is_token]
    starts = np.concatenate(([0], np.cumsum(lengths), [len(positions)])).astype(np.int32)
    return Layout(
        torch.from_numpy(positions), torch.from_numpy(starts), max(ROWS, longest, int(lengths.max()))
    )
