"""The engine that runs our own models with torch. The only file of this room that imports torch."""

from collections.abc import Sequence
from pathlib import Path

import torch

from mtkit.config.search import SearchSettings
from mtkit.model.device import find_device
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities
from mtkit.search.hypothesis import Hypothesis


class TorchEngine:
    """A Transformer, searched in batches of sentences of similar length.

    Args:
        model: the model, where it shall run.
        batch_tokens: source tokens of a batch, EOS and padding counted.
    """

    def __init__(self, model: Transformer, batch_tokens: int) -> None:
        self.model = model
        self.batch_tokens = batch_tokens

    @classmethod
    def load(
        cls, folder: Path, device: str, *, threads: int | None = None, batch_tokens: int
    ) -> "TorchEngine":
        """Load a model folder onto a device.

        Raises:
            ModelError: the folder holds no model that this version can load.
            RunError: there is no such device here.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load_model(folder, find_device(device)), batch_tokens)

    def search(self, sources: Sequence[Sequence[int]], settings: SearchSettings) -> list[list[Hypothesis]]:
        """Beam search, as the protocol says."""
        return search(self.model, sources, settings, self.batch_tokens)

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """Forced decoding, as the protocol says."""
        return log_probabilities(self.model, sources, targets, self.batch_tokens)
