"""What is minimised: label-smoothed cross-entropy over real target tokens, and penalties on matrices.

Numbers are in nats. The output layer is applied only where a target token stands, a few hundred positions
at a time: a slice of logits that fits the cache costs a fifth of one that does not, and memory no longer
grows with positions x vocabulary.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtkit.batches.batch import Batch
from mtkit.model.transformer import Transformer

POSITIONS_AT_ONCE = 512  # of the output layer; measured best of 64 to 4096 for 4,000 and 8,000 pieces


class LossSums(NamedTuple):
    """Sums over the target tokens of one or more batches; on the model's device, float32.

    Attributes:
        objective: label-smoothed cross-entropy, summed.
        nats: -log P(target | source), summed; what is reported as loss and, exponentiated, perplexity.
    """

    objective: Tensor
    nats: Tensor


class SmoothedCrossEntropy(torch.autograd.Function):
    """Label-smoothed cross-entropy of logits, in one softmax and without a second copy of the logits.

    For a target y and smoothing e over V pieces the loss is (1 - e) · -log p(y) + e · mean of -log p(v)
    over all v, PAD and the other special pieces included: the same as `torch.nn.functional.cross_entropy`
    (an agreement test says so), three to five times as fast on a CPU.

    Source: Szegedy et al. 2016, section 7.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Returns the objective and the nats, both summed over positions; logits [P, V], targets [P]."""
        logits = logits.float()
        probabilities = torch.softmax(logits, dim=-1)  # [P, V]
        # The largest probability is at least 1/V, so this logarithm never meets an underflow.
        log_total = logits.amax(dim=-1) - probabilities.amax(dim=-1).log()  # [P]
        nats = (log_total - logits.gather(1, targets[:, None]).squeeze(1)).sum()
        objective = nats
        if smoothing:
            uniform = (log_total - logits.mean(dim=-1)).sum()
            objective = (1 - smoothing) * nats + smoothing * uniform
        ctx.save_for_backward(probabilities, targets)
        ctx.smoothing = smoothing
        ctx.mark_non_differentiable(nats)
        return (objective.clone() if objective is nats else objective), nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """p(v) - e/V - (1 - e)[v = y], scaled; written over the saved probabilities."""
        scale = gradients[0]
        probabilities, targets = ctx.saved_tensors
        gradient = probabilities.mul_(scale)
        if ctx.smoothing:
            gradient.sub_(scale * (ctx.smoothing / gradient.shape[-1]))
        gradient[torch.arange(len(targets), device=targets.device), targets] -= (1 - ctx.smoothing) * scale
        return gradient, None, None


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> LossSums:
    """Label-smoothed cross-entropy and negative log-likelihood, summed over positions.

    Args:
        logits: [P, V], any floating type; the sums are float32.
        targets: [P], ids.
        smoothing: share of the probability mass spread evenly over the vocabulary.
    """
    objective, nats = SmoothedCrossEntropy.apply(logits, targets, smoothing)  # type: ignore[no-untyped-call]
    return LossSums(objective, nats)


def gradients(
    model: Transformer, batch: Batch, update_tokens: int, smoothing: float
) -> tuple[LossSums, list[Tensor | None]]:
    """A batch's share of the gradient of an update. Nothing of the model is changed: threads may share it.

    Args:
        model: in training mode, on the batch's device.
        batch: a micro-batch.
        update_tokens: target tokens of the whole update, by which the sum is divided: so micro-batches
            add up to the gradient of one big batch, however unequal they are.
        smoothing: see `cross_entropy`.

    Returns:
        The batch's sums, detached, and the gradient of each of `model.parameters()`, None where it is zero.
    """
    hidden, targets = _target_positions(model, batch)  # [P, D], [P]
    # The graph is cut here: each slice of the output layer is done with before the next one begins.
    sums, hidden_gradients = [], []
    output_gradient = torch.zeros_like(model.output_weight)  # [V, D]
    for part, ids in _slices(hidden.detach(), targets):
        part.requires_grad_()
        loss = cross_entropy(model.output(part), ids, smoothing)
        of_part, of_output = torch.autograd.grad(loss.objective / update_tokens, (part, model.output_weight))
        hidden_gradients.append(of_part)
        output_gradient.add_(of_output)
        sums.append(LossSums(loss.objective.detach(), loss.nats))
    parameters = list(model.parameters())
    # A number with the gradient that is wanted: to begin at a tensor, torch loads a symbolic algebra first.
    root = (hidden * torch.cat(hidden_gradients)).sum()
    found = torch.autograd.grad(root, parameters, allow_unused=True)
    return add(sums), [
        _sum(gradient, output_gradient) if parameter is model.output_weight else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


def accumulate(model: Transformer, found: Iterable[Tensor | None]) -> None:
    """Add what `gradients` returned to the parameters' gradients."""
    for parameter, gradient in zip(model.parameters(), found, strict=True):
        if gradient is not None:
            parameter.grad = _sum(parameter.grad, gradient)


def _sum(total: Tensor | None, more: Tensor) -> Tensor:
    """The sum, in the place of its first term if there is one."""
    return more if total is None else total.add_(more)


@torch.no_grad()
def measure(model: Transformer, batch: Batch, smoothing: float = 0.0) -> LossSums:
    """A batch's sums without gradients; dropout is as the model's mode says."""
    hidden, targets = _target_positions(model, batch)
    return add(cross_entropy(model.output(part), ids, smoothing) for part, ids in _slices(hidden, targets))


def add(parts: Iterable[LossSums]) -> LossSums:
    """The sums of several batches."""
    objectives, nats = zip(*parts, strict=True)
    return LossSums(torch.stack(objectives).sum(), torch.stack(nats).sum())


def no_sums(device: torch.device) -> LossSums:
    """The sums over no batch at all."""
    return LossSums(torch.zeros((), device=device), torch.zeros((), device=device))


def penalty(matrices: Iterable[Tensor], l1: float, l2: float) -> float | Tensor:
    """Add l1 · sign(W) + l2 · W to each matrix's gradient; returns l1 · Σ|w| + l2 · Σw²/2.

    The gradient is written directly, once an update, so the penalty does not depend on how many
    micro-batches an update has.
    """
    total: float | Tensor = 0.0
    if not l1 and not l2:
        return total
    for matrix in matrices:
        weight = matrix.detach()
        assert matrix.grad is not None
        if l1:
            matrix.grad.add_(weight.sign(), alpha=l1)
            total = total + l1 * weight.abs().sum()
        if l2:
            matrix.grad.add_(weight, alpha=l2)
            total = total + l2 * 0.5 * weight.square().sum()
    return total


def _target_positions(model: Transformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """The decoder's output and the ids wanted, at the positions where a target token stands."""
    memory = model.encode(batch.source, batch.source_is_token)  # [B, S, D]
    hidden = model.decode(batch.target_in, memory, batch.source_is_token)  # [B, T, D]
    # Their number is known, so that a GPU need not be waited for.
    real = batch.target_is_token.flatten()
    positions = torch.nonzero_static(real, size=batch.target_tokens).squeeze(1)  # [P]
    flat = hidden.flatten(0, 1)  # [B * T, D]
    return flat.index_select(0, positions), batch.target_out.flatten().index_select(0, positions)


def _slices(hidden: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A few positions at a time, [P, D], with their targets, [P]."""
    return zip(torch.split(hidden, POSITIONS_AT_ONCE), torch.split(targets, POSITIONS_AT_ONCE), strict=True)
