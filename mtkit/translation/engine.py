"""What translates ids: the protocol that engines keep, and the door that opens one. Light: no torch here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis


class Engine(Protocol):
    """A loaded model that can search and score; ids in, ids out."""

    def search(self, sources: Sequence[Sequence[int]], settings: SearchSettings) -> list[list[Hypothesis]]:
        """Translate each source.

        Args:
            sources: source ids of each sentence, at least one, without EOS.
            settings: beam size, n-best, length penalty, length limits.

        Returns:
            For each source, in order, at most `n_best` hypotheses, best first, at least one.
        """
        ...

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """log P(target | source) of each pair, in nats, EOS included.

        Args:
            sources: source ids without EOS.
            targets: target ids without BOS and EOS.
        """
        ...


def open_engine(
    folder: Path, device: str = "auto", *, threads: int | None = None, batch_tokens: int
) -> Engine:
    """Load the model of a model folder.

    Args:
        folder: the model folder.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        threads: CPU threads; None: torch chooses.
        batch_tokens: source tokens, padding included, that are translated at once.

    Raises:
        ModelError: the folder holds no model that this version can load.
        RunError: there is no such device here.
    """
    from mtkit.translation.torch_engine import TorchEngine

    return TorchEngine.load(folder, device, threads=threads, batch_tokens=batch_tokens)
