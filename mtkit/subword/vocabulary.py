"""The ids that mean the same in every vocabulary, and the names of the two sides.

Ids from 4 on belong to the learnt pieces; what they stand for is known to the SentencePiece models alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAD = 0  # fills a batch up; never learnt, never produced
UNK = 1  # a character outside the vocabulary; with byte fallback there is none
BOS = 2  # the first token the decoder reads
EOS = 3  # the last token of every sentence
NEVER_PRODUCED = (PAD, UNK, BOS)  # ids that stand for no text; the first of all, in their order

SPACE_MARK = "\u2581"  # how SentencePiece writes a space; one begins every line

Ids: TypeAlias = "Sequence[int] | NDArray[np.integer[Any]]"  # one sentence, without BOS and EOS

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")
