"""Which optimiser moves which parameter, behind one object that the update and the checkpoint use.

What an optimiser remembers is named by the parameter it belongs to, so a checkpoint can be read without
knowing the order in which parameters were created.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from mtkit.config.training import FIRST_MOMENTUM
from mtkit.config.training import AdamW as AdamWSettings
from mtkit.config.training import Muon as MuonSettings
from mtkit.config.training import Optimizer as OptimizerSettings
from mtkit.errors import ModelError
from mtkit.model.attention import CrossAttention, SelfAttention
from mtkit.model.layers import FeedForward
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.training.muon import Muon
from mtkit.training.sharding import shared_out
from mtkit.training.uncompiled import AdamW

EPSILON = 1e-9  # of AdamW, as in Vaswani et al. 2017, section 5.3; the usual 1e-8 damps rare pieces

Names = dict[str, nn.Parameter]


class Optimizer:
    """All optimisers of a model as one.

    Args:
        model: on the device where it is trained.
        settings: AdamW for everything, or Muon for the layers' matrices and AdamW for the rest.
        workers: share Muon's matrices among them.
    """

    def __init__(self, model: Transformer, settings: OptimizerSettings, workers: Workers = ALONE) -> None:
        self._settings = settings
        self._named: Names = dict(model.named_parameters())
        self._parts: list[torch.optim.Optimizer] = []
        adamw, rest = settings, self._named
        if isinstance(settings, MuonSettings):
            rows = layer_matrices(model)
            rest = {name: value for name, value in self._named.items() if name not in rows}
            adamw = settings.adamw
            self._parts.append(_muon(self._named, rows, settings, workers))
        assert isinstance(adamw, AdamWSettings)
        self._parts.append(_adamw(rest, adamw))
        self._peaks = [[float(group["lr"]) for group in part.param_groups] for part in self._parts]

    @property
    def peak_rate(self) -> float:
        """The learning rate at the schedule's peak: of the first group, Muon's if there is one."""
        return self._peaks[0][0]

    def step(self, rate_factor: float, update: int) -> None:
        """Move all parameters along their gradients.

        Args:
            rate_factor: share of each peak learning rate (`schedule.factor`).
            update: its number, from 1, on which a momentum that warms up depends.
        """
        for part, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * rate_factor
                if isinstance(part, Muon):
                    group["momentum"] = self._momentum(update)
            part.step()

    def _momentum(self, update: int) -> float:
        """Muon's momentum at an update."""
        assert isinstance(self._settings, MuonSettings)
        wanted, rising = self._settings.momentum, self._settings.momentum_warmup_updates
        share = min(1.0, update / rising) if rising else 1.0
        return wanted * share + FIRST_MOMENTUM * (1 - share)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything remembered between steps, as `PARAMETER/WHAT`: tensors, not copied."""
        states: dict[Tensor, dict[str, Any]] = {}
        for part in self._parts:
            states.update(part.state)
        return {
            f"{name}/{what}": value
            for name, parameter in self._named.items()
            for what, value in states.get(parameter, {}).items()
        }

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Remember what `state_dict` gave.

        Raises:
            ModelError: a name or a shape is not this model's.
        """
        states: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in tensors.items():
            name, _, what = key.rpartition("/")
            self._check(name, key, value)
            states[name][what] = shared_out(value, self._named[name])
        names: dict[Tensor, str] = {parameter: name for name, parameter in self._named.items()}
        for part in self._parts:
            part.state.clear()
            for parameter in (parameter for group in part.param_groups for parameter in group["params"]):
                if names[parameter] in states:
                    part.state[parameter] = states[names[parameter]]

    def _check(self, name: str, key: str, value: Tensor) -> None:
        if name not in self._named or (value.dim() and value.shape != self._named[name].shape):
            raise ModelError(
                f"the optimiser's state {key!r} {tuple(value.shape)} fits no parameter of this model",
                expected="a state of the same model",
                advice="Delete the checkpoints of this stage and train again.",
            )


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """The parameters with two dimensions: what weight decay and the penalties act on."""
    return [parameter for parameter in model.parameters() if parameter.dim() == 2]


def layer_matrices(model: Transformer) -> dict[str, list[int]]:
    """The matrices inside the layers, by name, with the heights of the maps that each stacks.

    Queries, keys and values come from one matrix product, and so do SwiGLU's gate and its input; as maps
    they are separate.
    """
    rows: dict[str, list[int]] = {}
    for path, module in model.named_modules():
        if isinstance(module, SelfAttention):
            kv_dim = module.kv_heads * module.head_dim
            rows[f"{path}.query_key_value.weight"] = [module.heads * module.head_dim, kv_dim, kv_dim]
        elif isinstance(module, CrossAttention):
            rows[f"{path}.key_value.weight"] = [module.kv_heads * module.head_dim] * 2
        elif isinstance(module, FeedForward) and module.gated:
            rows[f"{path}.up.weight"] = [module.down.in_features] * 2
        elif isinstance(module, nn.Linear) and path.split(".")[0] in ("encoder", "decoder"):
            # A parent comes before its children, so a fused matrix is there already.
            rows.setdefault(f"{path}.weight", [module.out_features])
    return rows


def _muon(named: Names, rows: dict[str, list[int]], settings: MuonSettings, workers: Workers) -> Muon:
    by_rows: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
    for name, heights in rows.items():
        by_rows[tuple(heights)].append(named[name])
    groups = [{"params": group, "rows": list(heights)} for heights, group in by_rows.items()]
    return Muon(groups, settings.learning_rate, settings.momentum, settings.weight_decay, workers)


def _adamw(named: Names, settings: AdamWSettings) -> AdamW:
    """AdamW with decay on matrices only; fused, which on a CPU takes a third of the time."""
    groups = [
        {
            "params": [value for value in named.values() if value.dim() == 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [value for value in named.values() if value.dim() != 2], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        fused=True,
    )
