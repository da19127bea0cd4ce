"""The engine that translates with transformers' own `generate`, to be compared with ours."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from mtkit.config.search import SearchSettings
from mtkit.search.batching import padded
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.grouping import token_batches
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.length import length_limit, score_of
from mtkit.search.step import producible
from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import BOS, EOS

Ids = Sequence[int]

BY_ITSELF: dict[str, Any] = {"length_penalty": None, "early_stopping": None}  # what only beams have


class HuggingFaceEngine:
    """A model that transformers loaded.

    Args:
        model: the model.
        batch_tokens: source tokens of a batch.
        max_tokens: most tokens of a side, where positions are learned; None: any number.
    """

    certified = ""
    device = "cpu"

    def __init__(self, model: Any, batch_tokens: int, max_tokens: int | None = None) -> None:
        self.model, self.batch_tokens, self.max_tokens = model, batch_tokens, max_tokens

    def search(
        self, sources: Sequence[Ids], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        """The best of each source; a beam ranks as the folder says that the model was loaded from."""
        found: dict[int, Hypothesis] = {}
        for numbers, limit in self._batches(sources, settings):
            source, is_token = padded([[*sources[number], EOS] for number in numbers], torch.device("cpu"))
            with torch.inference_mode():
                every = self.model.generate(
                    input_ids=source,
                    attention_mask=is_token.long(),
                    num_beams=settings.beam_size,
                    do_sample=False,
                    max_length=None,
                    max_new_tokens=limit,
                    **({} if settings.beam_size > 1 else BY_ITSELF),
                )
            cut = [_cut(ids[1:].tolist(), limit) for ids in every]
            for number, (ids, finished), total in zip(
                numbers, cut, self._totals([sources[number] for number in numbers], cut), strict=True
            ):
                score = score_of(total, len(ids) + finished, settings)
                found[number] = Hypothesis(tuple(ids), total, score, finished)
        return [[found[number]] for number in range(len(sources))]

    def _batches(self, sources: Sequence[Ids], settings: SearchSettings) -> Iterator[tuple[list[int], int]]:
        """Sources of one limit, which transformers knows for whole batches alone, and that limit."""
        for numbers in token_batches([len(ids) + 1 for ids in sources], self.batch_tokens):
            limits = {
                number: length_limit(len(sources[number]), settings, self.max_tokens) for number in numbers
            }
            for limit in sorted(set(limits.values())):
                yield [number for number in numbers if limits[number] == limit], limit

    def log_probabilities(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[float]:
        """Forced decoding, as the protocol says."""
        return self._totals(sources, [(list(ids), True) for ids in targets])

    def token_scores(
        self,
        sources: Sequence[Ids],
        targets: Sequence[Ids],
        finished: Sequence[bool],
        *,
        attention: bool = False,
    ) -> list[TokenScores]:
        """Nobody asks for it."""
        raise NotImplementedError

    @torch.inference_mode()
    def _totals(self, sources: Sequence[Ids], targets: Sequence[tuple[list[int], bool]]) -> list[float]:
        """log P of each target; of one that was cut off without EOS."""
        device = torch.device("cpu")
        source, source_is_token = padded([[*ids, EOS] for ids in sources], device)
        counted = padded([[1] * (len(ids) + finished) or [0] for ids, finished in targets], device)
        width = counted.ids.size(1)
        target_in, _ = padded([[BOS, *ids][:width] for ids, _ in targets], device)
        target_out, _ = padded([[*ids, EOS][:width] for ids, _ in targets], device)
        logits = self.model(
            input_ids=source, attention_mask=source_is_token.long(), decoder_input_ids=target_in
        ).logits  # [B, T, V]
        each = producible(logits).gather(2, target_out.unsqueeze(-1)).squeeze(-1)  # [B, T]
        return [float(one) for one in each.masked_fill(counted.ids == 0, 0.0).sum(1)]


def _cut(ids: list[int], limit: int) -> tuple[list[int], bool]:
    """What stands before EOS, and whether EOS came within the limit."""
    kept = ids[:limit]
    return (kept[: kept.index(EOS)], True) if EOS in kept else (kept, False)
