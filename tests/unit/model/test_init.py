import math

import pytest
import torch

from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.model.transformer import Transformer
from mtkit.subword.vocabulary import PAD


def test_embeddings_start_with_unit_variance_once_scaled_and_padding_at_zero() -> None:
    model = Transformer(ModelSettings(dim=64, heads=4, tied_embeddings="none"), 503, 401)
    assert model.source_embedding is not None
    assert model.output_layer is not None
    for weight in (model.source_embedding.weight, model.target_embedding.weight, model.output_layer.weight):
        assert float(weight.detach().std()) == pytest.approx(64**-0.5, rel=0.03)
    assert not model.source_embedding.weight[PAD].any()
    assert not model.target_embedding.weight[PAD].any()


@pytest.mark.parametrize("tied", ["none", "all"])
@pytest.mark.parametrize("order", ["pre", "post"])
def test_the_first_loss_is_near_that_of_guessing(order: str, tied: str) -> None:
    shape = {"dim": 64, "heads": 4, "norm_order": order, "tied_embeddings": tied}
    model = Transformer(ModelSettings.model_validate(shape), 503, 503).eval()
    ids = torch.randint(4, 503, (16, 12))
    with torch.no_grad():
        logits = model(ids, torch.ones_like(ids, dtype=torch.bool), ids)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(4, 503, (16 * 12,)))
    assert abs(float(loss) - math.log(503)) < 0.9  # measured: 0.4 to 0.6 above


def test_fused_matrices_are_drawn_as_the_matrices_they_hold() -> None:
    settings = ModelSettings(dim=64, heads=4, kv_heads=1, ffn_dim=80, activation="swiglu", encoder_layers=1)
    layer = Transformer(settings, 11, 11).encoder.layers[0]
    fused = layer.get_parameter("self_attention.query_key_value.weight").detach()
    assert float(fused[:64].abs().max()) == pytest.approx(math.sqrt(6 / 128), rel=0.01)
    assert float(fused[64:].abs().max()) == pytest.approx(math.sqrt(6 / 80), rel=0.01)
    up = layer.get_parameter("feed_forward.up.weight").detach()
    assert float(up.abs().max()) == pytest.approx(math.sqrt(6 / 144), rel=0.01)


def test_biases_start_at_zero_and_learned_positions_do_not() -> None:
    model = Transformer(ModelSettings(dim=8, heads=2, positions=LearnedPositions(max=7)), 11, 11)
    for name, weight in model.named_parameters():
        assert bool(weight.isfinite().all()), name
        if name.endswith("bias"):
            assert not weight.any(), name
        else:
            assert weight.any(), name


def test_one_seed_gives_one_model() -> None:
    def make(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [weight.flatten() for weight in Transformer(ModelSettings(dim=8, heads=2), 11, 11).parameters()]
        )

    assert torch.equal(make(3), make(3))
    assert not torch.equal(make(3), make(4))
