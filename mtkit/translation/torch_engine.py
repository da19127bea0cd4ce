"""The engine that runs our own models with torch. The only file of this room that imports torch."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch

from mtkit.config.search import SearchSettings
from mtkit.model.cores import default_threads
from mtkit.model.device import find_device
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.model.workers import ALONE, Workers
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities
from mtkit.search.hypothesis import Hypothesis


class TorchEngine:
    """A Transformer, searched in batches of sentences of similar length.

    Args:
        model: the model, where it shall run.
        batch_tokens: source tokens of a batch, EOS and padding counted.
        workers: search batches side by side.
    """

    def __init__(self, model: Transformer, batch_tokens: int, workers: Workers = ALONE) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.workers = workers

    @classmethod
    def load(
        cls, folder: Path, device: str, *, threads: int | None = None, batch_tokens: int
    ) -> "TorchEngine":
        """Load a model folder onto a device; on a CPU, a worker for each thread.

        Raises:
            ModelError: the folder holds no model that this version can load.
            RunError: there is no such device here.
        """
        found = find_device(device)
        model = load_model(folder, found)
        if found.type != "cpu":
            return cls(model, batch_tokens)
        workers = Workers(threads or default_threads())
        torch.set_num_threads(1)
        return cls(model, batch_tokens, workers)

    def in_double(self) -> "TorchEngine":
        """The same model computing in double precision, for what rounding leaves open."""
        return TorchEngine(deepcopy(self.model).double(), self.batch_tokens)

    def search(self, sources: Sequence[Sequence[int]], settings: SearchSettings) -> list[list[Hypothesis]]:
        """Beam search, as the protocol says."""
        return search(self.model, sources, settings, self.batch_tokens, self.workers)

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """Forced decoding, as the protocol says."""
        return log_probabilities(self.model, sources, targets, self.batch_tokens, self.workers)
