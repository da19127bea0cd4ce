"""A GPU is not waited for inside an update.

The meta device goes every way of a GPU, and raises where a number of a tensor is asked for. torch's fused
AdamW is not made for it; what that asks is watched on the CPU.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtkit.batches.batch import Update, make_batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, FixedTrainSettings, Muon, Until
from mtkit.config.training import Optimizer as OptimizerSettings
from mtkit.model.transformer import Transformer
from mtkit.training import optimizer as optimizer_module
from mtkit.training.average import ExponentialAverage
from mtkit.training.guard import Guard
from mtkit.training.meter import Meter
from mtkit.training.optimizer import Optimizer
from mtkit.training.packing import example
from mtkit.training.state import GuardState
from mtkit.training.uncompiled import AdamW as FusedAdamW
from mtkit.training.update import Updater

ASKING = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "unique", "bincount")
SHAPES = {
    "classic": {"norm_order": "post", "positions": {"kind": "learned"}, "activation_dropout": 0.1},
    "modern": {"positions": {"kind": "rotary"}, "activation": "swiglu", "norm": "rms_norm", "kv_heads": 1},
}


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operations that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ASKING:
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


def model_of(changes: dict[str, Any]) -> Transformer:
    shape = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.1}
    return Transformer(ModelSettings.model_validate(shape | changes), 23, 23).train()


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two things that torch does not have for the meta device."""

    def adamw(named: Any, settings: AdamW) -> FusedAdamW:
        return FusedAdamW(named.values(), lr=settings.learning_rate, fused=False)

    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(optimizer_module, "_adamw", adamw)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", [AdamW(), Muon()], ids=["adamw", "muon"])
def test_no_number_of_a_tensor_is_asked_for_inside_an_update(
    kind: OptimizerSettings, changes: dict[str, Any], packed: bool
) -> None:
    model = model_of(changes).to("meta")
    settings = FixedTrainSettings.model_validate(
        {"until": Until(updates=9), "model": model.settings, "loss": {"l1": 0.1, "l2": 0.1}}
    )
    updater = Updater(model, Optimizer(model, kind), settings, seed=1)
    average, meter, guard = ExponentialAverage(model, 0.9), Meter(), Guard(GuardState())
    batch = example(32) if packed else make_batch([[4, 5], [6]], [[7], [8, 9, 10]], [0, 1])
    for number in (1, 2):
        update = Update.whole([batch, batch])
        sums = updater.gradients(update, number)
        observed, objective = updater.step(update, sums, number, 0.5)
        average.follow(number)
        guard.add(observed)
        meter.add(observed, objective, 0.1)
    assert observed.gradient_norm.device.type == objective.device.type == "meta"


@pytest.mark.usefixtures("on_meta")
def test_the_meta_device_raises_when_it_is_asked() -> None:
    model = model_of({}).to("meta")
    for ask in (torch.Tensor.item, bool, torch.Tensor.cpu):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask(model.output_weight.sum())


def test_the_fused_optimiser_asks_for_no_number() -> None:
    model = model_of({})
    optimizer = Optimizer(model, AdamW())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    with Watch() as watch:
        for number in (1, 2):
            torch.nn.utils.clip_grads_with_norm_(
                model.parameters(),
                1.0,
                torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]),
            )
            optimizer.step(0.5, number)
        assert watch.asked == []
        model.output_weight.sum().item()
    assert watch.asked == ["_local_scalar_dense"]
