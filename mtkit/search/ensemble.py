"""Several models as one: at every step their probabilities, or log probabilities, are averaged."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from mtkit.config.search import Average
from mtkit.errors import ModelError
from mtkit.model.transformer import Transformer


class Ensemble(nn.Module):
    """Models that share their vocabularies and speak together.

    Args:
        models: two or more; where they are is where the first is.
        average: of `probabilities` (a mixture), or of `log_probabilities` (a product; renormalised), which
            no model's veto survives.

    Raises:
        ModelError: vocabularies of different sizes.
    Source: Hansen and Salamon 1990 (mixtures); Hinton 2002 (products); Sutskever et al. 2014 for translation.
    """

    def __init__(self, models: Sequence[Transformer], average: Average = "probabilities") -> None:
        super().__init__()
        self.models, self.average = nn.ModuleList(models), average
        self.training = any(model.training for model in models)  # what it is searched in, it is left in
        sizes = {(model.source_size, model.target_size) for model in models}
        if len(sizes) > 1:
            raise ModelError(
                f"vocabularies of {' and '.join(str(size) for size in sorted(sizes))} pieces",
                expected="models that were trained with the same vocabularies",
                advice="Name models of one recipe that differ in their seeds.",
            )

    @property
    def members(self) -> list[Transformer]:
        """The models."""
        return [model for model in self.models if isinstance(model, Transformer)]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.members[0].device

    @property
    def max_tokens(self) -> int | None:
        """Most tokens a side may have: of the model that takes least."""
        return min((m.max_tokens for m in self.members if m.max_tokens is not None), default=None)

    @property
    def target_size(self) -> int:
        """Ids of the target vocabulary, V."""
        return self.members[0].target_size

    def averaged(self, logits: Sequence[Tensor]) -> Tensor:
        """One distribution, as logits, from those of the models, [..., V]."""
        each = torch.stack([one.float().log_softmax(-1) for one in logits])  # [M, ..., V]
        return each.logsumexp(0) if self.average == "probabilities" else each.mean(0)


Model: TypeAlias = Transformer | Ensemble


def parts(model: Model) -> list[Transformer]:
    """The models that a model is made of: itself, unless it is an ensemble."""
    return model.members if isinstance(model, Ensemble) else [model]


class Reader:
    """Sources that have been read, and the hypotheses that go on from them step by step.

    Args:
        model: one model, or an ensemble.
        source: [B, S].
        source_is_token: [B, S].
        groups: rows that each source is given, N of each when `expand` says so.
        fills_up: read rows besides, as many as products are made for (`Transformer.rows_for_search`), so that
            they are filled up once and not in each product; nobody sees them. For one hypothesis a source.
    """

    def __init__(
        self,
        model: Model,
        source: Tensor,
        source_is_token: Tensor,
        groups: int = 1,
        *,
        fills_up: bool = False,
    ) -> None:
        self.model, self.models = model, parts(model)
        self._fills_up = fills_up
        memories = [one.encode(source, source_is_token) for one in self.models]  # [B, S, D]
        if groups > 1:
            memories = [memory.repeat_interleave(groups, 0) for memory in memories]
            source_is_token = source_is_token.repeat_interleave(groups, 0)
        rows = self._filled(torch.arange(source_is_token.size(0), device=source.device))
        if rows.numel() > source_is_token.size(0):
            memories, source_is_token = [memory[rows] for memory in memories], source_is_token[rows]
        self.caches = [
            one.start(memory, source_is_token) for one, memory in zip(self.models, memories, strict=True)
        ]

    def expand(self, count: int) -> None:
        """As `Cache.expand`."""
        for cache in self.caches:
            cache.expand(count)

    def select(self, rows: Tensor) -> None:
        """As `Cache.select`."""
        kept = self._filled(rows)
        for cache in self.caches:
            cache.select(kept)

    def step(self, ids: Tensor) -> Tensor:
        """Logits [R, V] of what follows the newest ids [R]."""
        read = self._filled(ids)
        each = [
            one.step(read, cache)[: ids.numel()] for one, cache in zip(self.models, self.caches, strict=True)
        ]
        return self.model.averaged(each) if isinstance(self.model, Ensemble) else each[0]

    def _filled(self, of_rows: Tensor) -> Tensor:
        """Something of each row [R], the last repeated for those besides."""
        count = of_rows.numel()
        more = self.models[0].rows_for_search(count) - count if self._fills_up else 0
        return torch.cat([of_rows, of_rows[-1:].expand(more)]) if more else of_rows


def logits_at(
    model: Model, source: Tensor, source_is_token: Tensor, target_in: Tensor, where: Tensor
) -> Tensor:
    """Logits of the next ids at some target positions, all read at once.

    Args:
        model: the model.
        source: [B, S].
        source_is_token: [B, S].
        target_in: BOS first, [B, T].
        where: True at the positions wanted, [B, T].

    Returns:
        Logits [positions, V].
    """
    if isinstance(model, Ensemble):
        each = [logits_at(one, source, source_is_token, target_in, where) for one in model.members]
        return model.averaged(each)
    hidden = model.decode(target_in, model.encode(source, source_is_token), source_is_token)  # [B, T, D]
    # Only real tokens reach the output layer, the largest product of a small model.
    return model.output(hidden[where]).float()  # [positions, V]
