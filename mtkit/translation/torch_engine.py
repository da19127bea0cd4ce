"""The engine that runs our own models with torch. The only file of this room that imports torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch

from mtkit.config.search import Average, SearchSettings
from mtkit.model.cores import default_threads
from mtkit.model.device import find_device
from mtkit.model.few_rows import lay_out_for_few_rows
from mtkit.model.weights import load_model
from mtkit.model.workers import ALONE, Workers
from mtkit.search.beam import search
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.ensemble import Ensemble, Model
from mtkit.search.forced import log_probabilities, token_scores
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.token_scores import TokenScores
from mtkit.translation.failures import is_full, memory_is_full


class TorchEngine:
    """A Transformer, or an ensemble of them, searched in batches of sentences of similar length.

    Args:
        model: the model, where it shall run.
        batch_tokens: source tokens of a batch, EOS and padding counted.
        workers: search batches side by side.
        tells: put it into words for a user if the memory is full; False: leave torch's error to a caller who
            tries again with smaller batches.
    """

    certified = ""

    def __init__(
        self, model: Model, batch_tokens: int, workers: Workers = ALONE, *, tells: bool = True
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.workers = workers
        self._told = partial(_enough_memory, model.device) if tells else nullcontext

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str,
        *,
        threads: int | None = None,
        batch_tokens: int,
        others: Sequence[Path] = (),
        average: Average = "probabilities",
    ) -> "TorchEngine":
        """Load a model folder onto a device; on a CPU, a worker for each thread.

        Args:
            folder: the model folder.
            device: `cpu`, `cuda`, `cuda:1`, or `auto`.
            threads: CPU threads; None: torch chooses.
            batch_tokens: source tokens of a batch.
            others: model folders of the same vocabularies that are searched with it, as an ensemble.
            average: what of the ensemble's models is averaged.

        Raises:
            ModelError: a folder holds no model that this version can load.
            RunError: there is no such device here, or its memory is full.
        """
        found = find_device(device)
        with _enough_memory(found):
            models = [load_model(one, found) for one in (folder, *others)]
        model: Model = Ensemble(models, average) if others else models[0]
        if found.type != "cpu":
            return cls(model, batch_tokens)
        workers = Workers(threads or default_threads())
        torch.set_num_threads(1)
        for one in models:  # by as many threads as multiply
            lay_out_for_few_rows(one)
        return cls(model, batch_tokens, workers)

    @property
    def device(self) -> str:
        """As the protocol says."""
        return self.model.device.type

    @property
    def max_tokens(self) -> int | None:
        """Most tokens of a side that it has positions for, as the protocol says."""
        return self.model.max_tokens

    def search(
        self, sources: Sequence[Sequence[int]], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        """Beam search or sampling, as the protocol says."""
        with self._told():
            return search(self.model, sources, settings, self.batch_tokens, self.workers, demands)

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """Forced decoding, as the protocol says."""
        with self._told():
            return log_probabilities(self.model, sources, targets, self.batch_tokens, self.workers)

    def token_scores(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        finished: Sequence[bool],
        *,
        attention: bool = False,
    ) -> list[TokenScores]:
        """Forced decoding token by token, as the protocol says."""
        model, tokens, workers = self.model, self.batch_tokens, self.workers
        with self._told():
            return token_scores(model, sources, targets, finished, tokens, workers, attention=attention)


@contextmanager
def _enough_memory(device: torch.device) -> Iterator[None]:
    """What computes on a device.

    Raises:
        RunError: its memory is full.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        raise memory_is_full(error, str(device)) from error
