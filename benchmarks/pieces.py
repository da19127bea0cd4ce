"""The corpus that all toolkits of a benchmark are given, cut into pieces by mtkit: one vocabulary for all.

Runs mtkit's own corpus and subword stages and writes each split as text: one sentence a line, pieces between
single spaces. What a toolkit makes of it is `peers/`.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mtkit.files import read_json, write_text
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES

RECIPE = Path(__file__).with_name("small.yaml")
SPLITS = ("train", "valid", "test")
SPACE_MARK = "\u2581"  # how SentencePiece writes a space inside a piece


@dataclass(frozen=True)
class Pieces:
    """A corpus in pieces.

    Attributes:
        folder: has `{train,valid,test}.{source,target}` in pieces and `vocabulary.txt`, the pieces by id.
        corpus: mtkit's corpus folder, with the same files as text.
        subword: mtkit's subword folder.
    """

    folder: Path
    corpus: Path
    subword: Path

    def file(self, split: str, side: str) -> Path:
        """One side of a split, in pieces."""
        return self.folder / f"{split}.{side}"

    @property
    def vocabulary(self) -> list[str]:
        """The pieces in the order of their ids, without padding, unknown, BOS and EOS."""
        return (self.folder / "vocabulary.txt").read_text("utf-8").split("\n")[:-1]

    def lengths(self) -> Counter[tuple[int, int]]:
        """How many training pairs have so many source and target tokens, one EOS a side."""
        sides = [self.file("train", side).read_text("utf-8").split("\n")[:-1] for side in SIDES]
        return Counter(
            (len(source.split()) + 1, len(target.split()) + 1) for source, target in zip(*sides, strict=True)
        )


def make_pieces(work: Path) -> Pieces:
    """The corpus of small.yaml in pieces; what an earlier call left in `work` is used again."""
    runs = work / "runs"
    command = [sys.executable, "-m", "mtkit", "subword", str(RECIPE), "--runs", str(runs)]
    subprocess.run(command, check=True)
    stages = read_json(runs / "benchmark" / "manifest.json")["stages"]
    corpus, subword = (runs / "store" / stages[name]["folder"] for name in ("corpus", "subword"))
    pieces = Pieces(work / "pieces", corpus, subword)
    if not (pieces.folder / "vocabulary.txt").exists():
        _write(pieces)
    return pieces


def to_text(line: str) -> str:
    """A line of pieces as text."""
    return line.replace(" ", "").replace(SPACE_MARK, " ").strip()


def _write(pieces: Pieces) -> None:
    subword = Subword.load(pieces.subword)
    vocabulary = subword.pieces(range(4, subword.size("source")), "source")
    spaced = [piece for piece in vocabulary if piece.split() != [piece]]
    assert not spaced, f"pieces that a toolkit would cut at their spaces: {spaced}"
    for split in SPLITS:
        for side in SIDES:
            lines = (pieces.corpus / f"{split}.{side}").read_text("utf-8").split("\n")[:-1]
            cut = (" ".join(subword.pieces(ids, side)) for ids in subword.encode(lines, side))
            write_text(pieces.file(split, side), "\n".join(cut) + "\n")
    write_text(pieces.folder / "vocabulary.txt", "\n".join(vocabulary) + "\n")
