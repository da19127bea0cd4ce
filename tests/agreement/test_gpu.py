"""What a GPU computes in bfloat16, packed and compiled, beside what the CPU computes in float32, padded."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.batches.packed import Layout
from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings, Until
from mtkit.log import RunContext
from mtkit.model.packed_attention import attend_packed
from mtkit.model.transformer import Transformer
from mtkit.training.compiling import CompiledLayers
from mtkit.training.devices import prepared
from mtkit.training.loss import gradients
from mtkit.training.optimizer import Optimizer
from mtkit.training.packing import speed_up, why_padded
from mtkit.training.update import Updater, part_gradients

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here"),
    # torch warns that it tells of waiting, and the compiler loads modules that warn
    pytest.mark.filterwarnings("ignore"),
]

SIZE, LONGEST = 211, 60
SHAPE = {"dim": 64, "ffn_dim": 96, "heads": 4, "encoder_layers": 2, "decoder_layers": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "modern": {"positions": {"kind": "rotary"}, "activation": "swiglu", "norm": "rms_norm", "kv_heads": 2},
}
# bfloat16 has 8 bits: a number is off by up to 2^-9 of itself, 0.002, and layers add that up. On a CPU the
# same in bfloat16 was off by at most 0.0003 of the loss and 0.07 of the norm of a gradient; twice that.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 0.001, 0.15


def settings_of(changes: dict[str, Any], dropout: float = 0.0) -> FixedTrainSettings:
    return FixedTrainSettings.model_validate(
        {
            "until": Until(updates=9000),
            "max_tokens": LONGEST,
            "precision": "bfloat16",
            "model": SHAPE | {"dropout": dropout} | changes,
        }
    )


def model_of(settings: FixedTrainSettings) -> Transformer:
    torch.manual_seed(5)
    return Transformer(ModelSettings.model_validate(settings.model), SIZE, SIZE).train()


def batch_of(pairs: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)

    def sentences() -> list[list[int]]:
        lengths = torch.randint(0, LONGEST, (pairs,), generator=draw).tolist()
        return [torch.randint(4, SIZE, (length,), generator=draw).tolist() for length in lengths]

    return make_batch(sentences(), sentences(), range(pairs))


def on_gpu(layout: Layout) -> Layout:
    return Layout(layout.positions.cuda(), layout.starts.cuda(), layout.longest)


def assert_near(found: Tensor, wanted: Tensor, share: float, what: str) -> None:
    off = (found.float().cpu() - wanted).norm() / wanted.norm().clamp(min=1e-6)
    assert off < share, f"{what} is off by {off:.3f} of its norm"


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("groups", [1, 4])
def test_attention_of_variable_length_is_the_reference(causal: bool, groups: int) -> None:
    packed = batch_of(17, 1).pack(LONGEST).packed
    assert packed is not None
    queries, keys = packed.of_target, packed.of_target if causal else packed.of_source
    draw = torch.Generator().manual_seed(2)
    shapes = [(len(queries.positions), 4, 16), *[(len(keys.positions), groups, 16)] * 2]
    given = [torch.randn(shape, generator=draw).bfloat16().float().requires_grad_() for shape in shapes]
    there = [tensor.detach().cuda().bfloat16().requires_grad_() for tensor in given]
    query, key, value = given
    wanted = attend_packed(query, key, value, queries, keys, causal=causal)
    query, key, value = there
    found = attend_packed(query, key, value, on_gpu(queries), on_gpu(keys), causal=causal)
    assert_near(found, wanted.detach(), 0.02, "attention")
    towards = torch.randn(wanted.shape, generator=draw)
    expected = torch.autograd.grad((wanted * towards).sum(), given)
    gradient = torch.autograd.grad((found * towards.cuda()).sum(), there)
    for name, one, other in zip(("query", "key", "value"), gradient, expected, strict=True):
        assert_near(one, other, 0.03, f"the gradient of {name}")


@pytest.mark.parametrize("changes", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize("compile_", [False, True], ids=["eager", "compiled"])
def test_packed_on_a_gpu_is_padded_on_the_cpu(changes: dict[str, Any], compile_: bool) -> None:
    settings = settings_of(changes).model_copy(update={"compile": compile_})
    assert why_padded(settings, torch.device("cuda")) is None
    model, there = model_of(settings), model_of(settings).cuda()
    assert (speed_up(settings, there, print) is not None) == compile_
    for pairs, seed in ((40, 1), (3, 2)):
        batch = batch_of(pairs, seed)
        sums, wanted = gradients(model, batch, batch.target_tokens, 0.1)
        moved = batch.pack(LONGEST).pin_memory().to("cuda")
        found_sums, found = part_gradients(there, moved, batch.target_tokens, 0.1, "bfloat16", seed=1)
        assert found_sums.nats.item() == pytest.approx(sums.nats.item(), rel=LOSS_TOLERANCE)
        for (name, _), one, other in zip(model.named_parameters(), found, wanted, strict=True):
            assert one is not None and other is not None
            assert_near(one, other, GRADIENT_TOLERANCE, f"the gradient of {name}")


def trained(
    settings: FixedTrainSettings, updates: int, pairs: int = 5
) -> tuple[list[Tensor], CompiledLayers | None]:
    """The weights after some updates, on a GPU that is never waited for."""
    with prepared(RunContext(device="cuda", quiet=True)) as device:
        model = model_of(settings).to(device)
        layers = speed_up(settings, model, print)
        updater = Updater(model, Optimizer(model, settings.optimizer), settings, seed=1)
        for number in range(1, updates + 1):
            parts = [batch_of(pairs * number, 2 * number + part) for part in (0, 1)]
            if why_padded(settings, device) is None:
                parts = [part.pack(LONGEST) for part in parts]
            update = Update.whole([part.pin_memory() for part in parts])
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error" if number > 1 else "default")
            try:
                updater.step(update, updater.gradients(update, number), number, 1.0)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return [parameter.detach().cpu() for parameter in model.parameters()], layers


@pytest.mark.parametrize("compile_", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_same_seed_gives_the_same_bits_and_the_gpu_is_not_waited_for(kind: str, compile_: bool) -> None:
    settings = FixedTrainSettings.model_validate(
        settings_of(ARCHITECTURES["modern"], 0.1).model_dump(by_alias=True)
        | {"optimizer": {"kind": kind}, "compile": compile_}
    )
    (first, layers), (second, _) = trained(settings, 4), trained(settings, 4)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert layers is None or layers.compilations == 3


@pytest.mark.parametrize("changes", [{"precision": "float32"}, {}], ids=["padded", "packed"])
def test_large_batches_repeat_themselves_too(changes: dict[str, Any]) -> None:
    settings = FixedTrainSettings.model_validate(
        settings_of(ARCHITECTURES["modern"], 0.1).model_dump(by_alias=True) | {"compile": False} | changes
    )
    assert (why_padded(settings, torch.device("cuda")) is None) == (not changes)
    (first, _), (second, _) = trained(settings, 2, pairs=150), trained(settings, 2, pairs=150)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
