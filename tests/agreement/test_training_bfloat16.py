"""What a CPU computes in bfloat16 beside what it computes in float32: the same, to the 8 bits that it has."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtkit.batches.batch import Batch, make_batch
from mtkit.config.model import ModelSettings
from mtkit.model.attention import attend
from mtkit.model.transformer import Transformer
from mtkit.training.update import part_gradients

SIZE = 41
# Measured: at most 0.0005 of the loss and 0.08 of the norm of a gradient; more than twice that would be
# another computation.
OF_LOSS, OF_GRADIENT = 0.001, 0.16
SHAPES: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post", "norm": "layer_norm"},
    "modern": {"norm": "rms_norm", "positions": {"kind": "rotary"}, "bias": False, "kv_heads": 2},
    "dropout in attention": {"attention_dropout": 0.2},
}


def batch() -> Batch:
    """Sentences of many lengths, so that both sides have padding."""
    draw = torch.Generator().manual_seed(3)

    def sentences(lengths: list[int]) -> list[list[int]]:
        return [torch.randint(4, SIZE, (length,), generator=draw).tolist() for length in lengths]

    return make_batch(sentences([3, 7, 5, 2, 7, 14, 6] * 4), sentences([5, 2, 16, 6, 1, 3, 4] * 4), range(28))


@pytest.mark.parametrize("name", SHAPES)
def test_loss_and_gradients_are_those_of_float32(name: str) -> None:
    torch.manual_seed(5)
    shape = {"dim": 32, "ffn_dim": 48, "heads": 4, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.1}
    model = Transformer(ModelSettings.model_validate({**shape, **SHAPES[name]}), SIZE, SIZE).train()
    given = batch()
    found = {
        precision: part_gradients(model, given, given.target_tokens, 0.1, precision, seed=1)
        for precision in ("float32", "bfloat16")
    }
    (wanted, exact), (got, rough) = found["float32"], found["bfloat16"]
    for one, other in zip(got, wanted, strict=True):
        assert abs(one / other - 1) < OF_LOSS
    for close, of_float32 in zip(rough, exact, strict=True):
        assert close is not None and of_float32 is not None and close.dtype == torch.float32
        assert (close - of_float32).norm() < OF_GRADIENT * of_float32.norm()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_is_that_of_float32(causal: bool, kv_heads: int) -> None:
    torch.manual_seed(3)
    given = [torch.randn(3, heads, 9, 16).bfloat16() for heads in (4, kv_heads, kv_heads)]
    may_attend = None if causal else (torch.arange(9) < torch.tensor([[9], [4], [1]]))[:, None, None]

    def found(dtype: torch.dtype) -> tuple[Tensor, ...]:
        query, key, value = (one.detach().to(dtype).requires_grad_() for one in given)
        mixed = attend(query, key, value, may_attend=may_attend, causal=causal)
        assert mixed.dtype == dtype
        mixed.square().sum().backward()  # type: ignore[no-untyped-call]
        return tuple(one for one in (mixed, query.grad, key.grad, value.grad) if one is not None)

    for one, other in zip(found(torch.bfloat16), found(torch.float32), strict=True):
        assert (one.float() - other).norm() < 0.02 * other.norm()
