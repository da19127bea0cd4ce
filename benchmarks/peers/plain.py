"""The plain reference, benchmarks/reference.py, in the Python that runs the benchmark."""

import sys
from pathlib import Path

import torch

from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import Pieces

PROGRAM = Path(__file__).parents[1] / "reference.py"


class Plain(Peer):
    """torch.nn.Transformer."""

    name = "torch.nn.Transformer"
    specials = (0, 2, 3)

    @property
    def python(self) -> str:
        """The Python that runs the benchmark."""
        return sys.executable

    def is_installed(self) -> bool:
        """It is."""
        return True

    def version(self) -> str:
        """Of torch."""
        return torch.__version__

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Say where the pieces are; it reads them as they are."""
        (work / "pieces").symlink_to(pieces.folder)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """The program with every size spelt out."""
        shape = training.shape
        values = {
            "layers": shape.layers,
            "dim": shape.dim,
            "ffn-dim": shape.ffn_dim,
            "heads": shape.heads,
            "batch-tokens": training.batch_tokens,
            "warmup-updates": training.warmup_updates,
            "seed": training.seed,
            "threads": training.threads,
            "dropout": shape.dropout,
            "label-smoothing": shape.label_smoothing,
            "learning-rate": training.learning_rate,
        }
        given = [part for name, value in values.items() for part in (f"--{name}", f"{value}")]
        return [self.python, str(PROGRAM), "pieces", *given]

    def checkpoints(self, work: Path) -> list[Path]:
        """None: it is here for its speed."""
        return []
