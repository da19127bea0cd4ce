"""What is minimised: label-smoothed cross-entropy over real target tokens, and penalties on matrices.

Numbers are in nats. The output layer is applied only where a target token stands, a few hundred positions
at a time, and its gradients are computed on the spot: memory does not grow with positions x vocabulary.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtkit.batches.batch import Batch
from mtkit.model.products import add_crossed, linear, product
from mtkit.model.transformer import Through, Transformer, as_it_is

POSITIONS_AT_ONCE = 512  # of the output layer; measured best of 64 to 4096 for 4,000 and 8,000 pieces
GPU_POSITIONS_AT_ONCE = 2048  # fewer would keep a GPU busy with beginning; not measured
ROWS_AT_ONCE = 32  # of logits, on a CPU: they stay in the cache of a core from one pass to the next


class LossSums(NamedTuple):
    """Sums over the target tokens of one or more batches; on the model's device, float32.

    Attributes:
        objective: label-smoothed cross-entropy, summed.
        nats: -log P(target | source), summed; what is reported as loss and, exponentiated, perplexity.
    """

    objective: Tensor
    nats: Tensor


class OutputLoss(torch.autograd.Function):
    """The output layer and its loss in one, a slice of positions at a time, with their gradients.

    The gradients are computed on the way forward, while the logits of a slice are at hand, and the logits
    are thrown away.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        smoothing: float,
        scale: float,
        through: Through,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns `scale` times the objective, which alone can be differentiated, and both sums."""
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)  # [P, D], [V, D]
        mean = weight.mean(dim=0)  # [D]
        on_cpu = hidden.device.type == "cpu" and through is as_it_is
        of_slice = _of_slice if on_cpu else _of_slice_in_steps
        sums, cast = [], weight
        for states, ids, of_states in _slices(hidden, targets, of_hidden):
            go = through if len(ids) > 1 else as_it_is  # to a compiler one row is another function
            powers, total, part = go(of_slice, states, weight, mean, ids, smoothing)
            cast = cast if cast.dtype == powers.dtype else weight.to(powers.dtype)  # once, not for each slice
            factor = scale / total  # [P, 1]
            of_states.copy_(product(powers, cast) * factor - mean * (smoothing * scale))
            add_crossed(of_weight, powers, (states * factor).to(powers.dtype))
            sums.append(part)
        of_weight.sub_(hidden.sum(dim=0, dtype=torch.float32), alpha=smoothing * scale / len(weight))
        ctx.save_for_backward(of_hidden, of_weight)
        both = add(sums)
        ctx.mark_non_differentiable(*both)
        return both.objective * scale, *both

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """What was computed on the way forward, scaled."""
        (of_hidden, of_weight), scale = ctx.saved_tensors, gradients[0]
        if scale.device.type != "cpu" or scale != 1:  # of a GPU this is not asked: it would be waited for
            of_hidden, of_weight = of_hidden * scale, of_weight * scale
        return of_hidden, of_weight, None, None, None, None


def _of_slice(
    states: Tensor, weight: Tensor, mean: Tensor, ids: Tensor, smoothing: float
) -> tuple[Tensor, Tensor, LossSums]:
    """What the gradients of a slice are made of [P, V], its divisors [P, 1], and its loss.

    The gradient of a logit is softmax - (1 - e)[v = y] - e/V. Softmax stays unnormalised in the matrix
    products, its divisor being a factor of the position; the constant e/V is a multiple of the mean vector
    for states, and of the sum of all states for the weight. Both are left to the caller.
    """
    logits = linear(states, weight)  # [P, V]
    powers, total, sums = _unnormalised(logits, states, mean, ids, smoothing)
    wanted = ids[:, None]
    powers.scatter_(1, wanted, powers.gather(1, wanted).sub_(total, alpha=1 - smoothing))
    return powers.to(logits.dtype), total, sums


def _of_slice_in_steps(
    states: Tensor, weight: Tensor, mean: Tensor, ids: Tensor, smoothing: float
) -> tuple[Tensor, Tensor, LossSums]:
    """The same for a GPU: in steps of which a compiler makes one pass, in the precision of the logits.

    What is made of float32 and added to the gradient in one pass (`addmm_`) would be multiplied in float32:
    autocast does not change that.
    """
    logits = linear(states, weight)  # [P, V]
    top = logits.amax(dim=-1, keepdim=True).float()
    powers = (logits.float() - top).exp()
    total = powers.sum(dim=-1, keepdim=True)
    wanted = logits.gather(1, ids[:, None]).float()
    sums = _sums((top + total.log()).squeeze(1), wanted.squeeze(1), states, mean, smoothing)
    is_wanted = torch.arange(logits.size(1), device=logits.device) == ids[:, None]  # [P, V]
    powers = torch.where(is_wanted, powers - (1 - smoothing) * total, powers)
    return powers.to(logits.dtype), total, sums


def _unnormalised(
    logits: Tensor, hidden: Tensor, mean: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor, LossSums]:
    """exp(logit - largest logit) [P, V], its sums over the vocabulary [P, 1], and the loss of the positions.

    Args:
        logits: [P, V]; overwritten if they are float32.
        hidden: what they come from, [P, D].
        mean: of the output layer's rows, [D].
        targets: [P].
        smoothing: share of the probability mass spread evenly over the vocabulary.
    """
    logits = logits.float()
    wanted = logits.gather(1, targets[:, None]).squeeze(1)  # [P]
    log_totals, totals = [], []
    for rows in torch.split(logits, ROWS_AT_ONCE if logits.device.type == "cpu" else len(logits)):
        top = rows.amax(dim=-1, keepdim=True)
        total = rows.sub_(top).exp_().sum(dim=-1, keepdim=True)
        log_totals.append(top + total.log())
        totals.append(total)
    log_total = torch.cat(log_totals).squeeze(1)  # [P]
    return logits, torch.cat(totals), _sums(log_total, wanted, hidden, mean, smoothing)


def _sums(log_total: Tensor, wanted: Tensor, hidden: Tensor, mean: Tensor, smoothing: float) -> LossSums:
    """The loss of some positions: the logarithms of their totals and the logits of what is wanted, [P]."""
    nats = (log_total - wanted).sum()
    # the mean of the logits is the logit of the mean; no product of matrices, which autocast would round
    uniform = (log_total - (hidden.float() * mean).sum(dim=-1)).sum()
    return LossSums((1 - smoothing) * nats + smoothing * uniform, nats)


def output_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    smoothing: float,
    scale: float = 1.0,
    through: Through = as_it_is,
) -> tuple[Tensor, LossSums]:
    """Label-smoothed cross-entropy of an output layer, without logits ever being there all at once.

    For a target y, smoothing e and V pieces the loss of a position is (1 - e) · -log p(y) + e · mean of
    -log p(v) over all v, PAD and the other special pieces included: the same as
    `torch.nn.functional.cross_entropy` (an agreement test says so).

    Args:
        hidden: states before the output layer, [P, D].
        weight: of the output layer, [V, D].
        targets: ids, [P].
        smoothing: share of the probability mass spread evenly over the vocabulary.
        scale: a factor of the objective, so that its gradients need not be multiplied afterwards.
        through: what a slice goes through, as packed batches go through layers.

    Returns:
        `scale` times the summed objective, to be differentiated; and the sums, float32, detached.
    Source: Szegedy et al. 2016, section 7.
    """
    objective, *sums = OutputLoss.apply(hidden, weight, targets, smoothing, scale, through)  # type: ignore[no-untyped-call]
    return objective, LossSums(*sums)


def objective(
    model: Transformer, batch: Batch, update_tokens: int, smoothing: float
) -> tuple[Tensor, LossSums]:
    """A batch's share of what an update minimises, for `backward`, and its sums.

    Args:
        model: in training mode, on the batch's device.
        batch: a micro-batch.
        update_tokens: target tokens of the whole update, by which the sum is divided: so micro-batches
            add up to the gradient of one big batch, however unequal they are.
        smoothing: see `output_loss`.
    """
    states = hidden_states(model, batch)  # [B, T, D]
    return objective_of(model, batch, states, update_tokens, smoothing)


def hidden_states(model: Transformer, batch: Batch) -> Tensor:
    """The decoder's output, [B, T, D]; of a packed batch [N, D]."""
    if batch.packed is not None:
        return model.packed(batch.packed)
    memory = model.encode(batch.source, batch.source_is_token)  # [B, S, D]
    return model.decode(batch.target_in, memory, batch.source_is_token)


def objective_of(
    model: Transformer, batch: Batch, states: Tensor, update_tokens: int, smoothing: float
) -> tuple[Tensor, LossSums]:
    """The `objective` of what `hidden_states` has found."""
    hidden, targets = _at_target_tokens(states, batch)  # [P, D], [P]
    through = as_it_is if batch.packed is None else model.decoder.through
    return output_loss(hidden, model.output_weight, targets, smoothing, 1 / update_tokens, through)


def gradients(
    model: Transformer, batch: Batch, update_tokens: int, smoothing: float
) -> tuple[LossSums, list[Tensor | None]]:
    """The gradient of `objective`. Nothing of the model is changed: threads may share it.

    Returns:
        The batch's sums, detached, and the gradient of each of `model.parameters()`, None where it is zero.
    """
    minimised, sums = objective(model, batch, update_tokens, smoothing)
    return sums, list(torch.autograd.grad(minimised, list(model.parameters()), allow_unused=True))


def accumulate(model: Transformer, found: Iterable[Tensor | None]) -> None:
    """Add what `gradients` returned to the parameters' gradients."""
    for parameter, gradient in zip(model.parameters(), found, strict=True):
        parameter.grad = sum_of(parameter.grad, gradient)


def sum_of(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    """The sum of two gradients, None being zero; in the place of the first if there is one."""
    if total is None or more is None:
        return more if total is None else total
    return total.add_(more)


@torch.no_grad()
def measure(model: Transformer, batch: Batch, smoothing: float = 0.0) -> LossSums:
    """A batch's sums without gradients; dropout is as the model's mode says."""
    hidden, targets = _at_target_tokens(hidden_states(model, batch), batch)
    weight = model.output_weight
    mean = weight.mean(dim=0)
    return add(
        _unnormalised(linear(states, weight), states, mean, ids, smoothing)[2]
        for states, ids in _slices(hidden, targets)
    )


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


def _at_target_tokens(hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The decoder's output [B, T, D] or [N, D] and the ids wanted, where a target token stands."""
    if batch.packed is not None:  # there its rows come first
        return hidden[: batch.target_tokens], batch.packed.target_out
    # Their number is known, so that a GPU need not be waited for.
    real = batch.target_is_token.flatten()
    positions = torch.nonzero_static(real, size=batch.target_tokens).squeeze(1)  # [P]
    flat = hidden.flatten(0, 1)  # [B * T, D]
    return flat.index_select(0, positions), batch.target_out.flatten().index_select(0, positions)


def _slices(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few positions of each tensor [P, …] at a time."""
    count = positions_at_once(tensors[0].device)
    return zip(*(torch.split(tensor, count) for tensor in tensors), strict=True)


def positions_at_once(device: torch.device) -> int:
    """How many positions the output layer computes at a time."""
    return POSITIONS_AT_ONCE if device.type == "cpu" else GPU_POSITIONS_AT_ONCE
