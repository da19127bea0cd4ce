from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtkit.config.model import ModelSettings
from mtkit.model import products
from mtkit.model.count import count_parameters, model_flops
from mtkit.model.transformer import Transformer


def test_tied_weights_are_counted_once() -> None:
    def count(**changes: Any) -> int:
        tiny = {"dim": 8, "heads": 2, "ffn_dim": 11, "encoder_layers": 1, "decoder_layers": 1}
        return count_parameters(Transformer(ModelSettings.model_validate({**tiny, **changes}), 17, 17))

    attention, norm, feed_forward = 4 * 8 * 8 + 4 * 8, 2 * 8, 2 * 8 * 11 + 8 + 11
    encoder, decoder = attention + feed_forward + 3 * norm, 2 * attention + feed_forward + 4 * norm
    assert count(tied_embeddings="all") == 17 * 8 + encoder + decoder
    assert count(tied_embeddings="target") == 2 * 17 * 8 + encoder + decoder
    assert count(tied_embeddings="none") == 3 * 17 * 8 + encoder + decoder


@pytest.mark.parametrize("kv_heads", [None, 3, 1])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_multiply_adds_are_those_that_torch_counts(
    kv_heads: int | None, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "prefers_onednn", lambda: False)  # whose products torch does not count
    settings = ModelSettings.model_validate(
        {
            "dim": 30,
            "heads": 6,
            "ffn_dim": 37,
            "kv_heads": kv_heads,
            "activation": activation,
            "decoder_layers": 2,
        }
    )
    model = Transformer(settings, 23, 23).eval()
    source, target = torch.full((1, 7), 5), torch.full((1, 11), 5)
    is_token = torch.ones(1, 7, dtype=torch.bool)
    cost = model_flops(settings, 23, source_tokens=7, target_tokens=11)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as whole:
        memory = model.encode(source, is_token)
        model.decoder.keys_values(memory)
    assert cost.source * 2 == whole.get_total_flops()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as whole:
        model(source, is_token, target)
    assert (cost.source + cost.target) * 2 == whole.get_total_flops()
