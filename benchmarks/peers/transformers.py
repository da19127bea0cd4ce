"""Transformers: the program that its documentation leads to, with its Trainer, batches grouped by length."""

import json
from pathlib import Path

from benchmarks.peers.peer import CHECKPOINTS, Peer, Search, Training
from benchmarks.pieces import Pieces

PROGRAM = Path(__file__).parent / "programs" / "train_transformers.py"


class Transformers(Peer):
    """Hugging Face's library: MarianMTModel from scratch."""

    name = "transformers"
    specials = (0, 2, 3)

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("transformers")

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Nothing but a link to the text: the program makes its own ids."""
        (work / "pieces").symlink_to(pieces.folder)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """The program; what it is told lies in a file."""
        values = {**vars(training), **vars(training.shape), "checkpoints": CHECKPOINTS}
        del values["shape"]
        (work / "training.json").write_text(json.dumps(values), "utf-8")
        return [self.python, str(PROGRAM), "training.json"]

    def checkpoints(self, work: Path) -> list[Path]:
        """`checkpoint-UPDATE`, a folder each."""
        found = (work / CHECKPOINTS).glob("checkpoint-*")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """`generate`, in batches of 64 lines unless told otherwise."""
        numbers = (search.beam_size, search.sentences or 64, search.tokens or 0)
        names = (str(checkpoint), str(source), str(target), *map(str, numbers))
        return [self.python, str(PROGRAM), "training.json", *names]
