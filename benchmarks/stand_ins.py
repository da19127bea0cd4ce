"""Small models and engines that stand in for real ones, for benchmarks and tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.folder import ModelCard
from mtkit.model.transformer import Transformer
from mtkit.model.weights import save_model
from mtkit.search.batching import padded
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.token_scores import TokenScores
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import BOS, EOS, PAD, Side

SMALLEST = ModelSettings(dim=8, ffn_dim=8, heads=2, encoder_layers=1, decoder_layers=1)
Sentences = Sequence[Sequence[int]]


class Copying:
    """An engine and a codec in one: a piece is a character, a translation is its source."""

    certified = ""
    device = "cpu"
    max_tokens = None

    def encode(self, lines: Sequence[str], side: Side) -> list[list[int]]:
        """As `Subword.encode`."""
        return [[ord(character) + 4 for character in line] for line in lines]

    def decode(self, ids: Sequence[int], side: Side) -> str:
        """As `Subword.decode`."""
        return "".join(chr(one - 4) for one in ids)

    def search(
        self, sources: Sentences, settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        """As `Engine.search`."""
        return [[Hypothesis(tuple(ids), -1.0, -1.0, True)] for ids in sources]

    def log_probabilities(self, sources: Sentences, targets: Sentences) -> list[float]:
        """As `Engine.log_probabilities`."""
        return [-1.0 for _ in sources]

    def token_scores(
        self, sources: Sentences, targets: Sentences, finished: Sequence[bool], *, attention: bool = False
    ) -> list[TokenScores]:
        """Nobody asks for it here."""
        raise NotImplementedError

    def size(self, side: Side) -> int:
        """Nobody asks for it here."""
        raise NotImplementedError

    def pieces(self, ids: Sequence[int], side: Side) -> list[str]:
        """Nobody asks for it here."""
        raise NotImplementedError

    def spelt(self, side: Side) -> tuple[bytes, ...]:
        """Nobody asks for it here."""
        raise NotImplementedError


def write_model(
    folder: Path,
    subword: Path,
    *,
    seed: int,
    shape: ModelSettings = SMALLEST,
    teach: Callable[[Transformer], None] | None = None,
    **card: Any,
) -> Path:
    """Write a model folder.

    Args:
        folder: where.
        subword: folder of its vocabulary, which serves both sides.
        seed: of its weights.
        shape: of the model.
        teach: changes the weights; None: it has learnt nothing.
        card: what else its card says.

    Returns:
        The folder.
    """
    size = Subword.load(subword).size("source")
    torch.manual_seed(seed)
    model = Transformer(shape, size, size)
    if teach is not None:
        teach(model)
    made = ModelCard(architecture=shape, source_size=size, target_size=size, **card)
    save_model(folder, model, made, subword)
    return folder


def learn(model: Transformer, sources: Sentences, targets: Sentences, updates: int) -> None:
    """A few updates on all pairs at once, so that search has preferences that rounding does not change."""
    source, is_token = padded([[*ids, EOS] for ids in sources], model.device)
    target_in, _ = padded([[BOS, *ids] for ids in targets], model.device)
    target_out, _ = padded([[*ids, EOS] for ids in targets], model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(updates):
        logits = model(source, is_token, target_in)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target_out.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
