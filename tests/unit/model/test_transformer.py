import itertools
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.errors import ModelError
from mtkit.model.transformer import Transformer

B, S, T, SOURCE, TARGET = 2, 5, 3, 17, 13
SHAPES: list[tuple[Any, ...]] = list(
    itertools.product(
        ["layer_norm", "rms_norm"],
        ["pre", "post"],
        ["relu", "gelu", "swiglu"],
        [{"kind": "sinusoidal"}, {"kind": "learned", "max": 7}, {"kind": "rotary"}],
        [None, 1],
        ["none", "target", "all"],
        [True, False],
    )
)


def settings(**changes: Any) -> ModelSettings:
    tiny = {"dim": 8, "heads": 2, "ffn_dim": 11, "encoder_layers": 1, "decoder_layers": 2}
    return ModelSettings.model_validate({**tiny, **changes})


def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source_is_token = torch.ones(B, S, dtype=torch.bool)
    source_is_token[1, 3:] = False
    return (
        torch.randint(4, 13, (B, S)).masked_fill(~source_is_token, 0),
        source_is_token,
        torch.randint(4, 13, (B, T)),
    )


@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_every_combination_of_settings_reaches_every_weight(order: str, positions: str) -> None:
    for norm, norm_order, activation, position, kv_heads, tied, bias in SHAPES:
        if (norm_order, position["kind"]) != (order, positions):
            continue
        shape = settings(
            norm=norm,
            norm_order=norm_order,
            activation=activation,
            positions=position,
            kv_heads=kv_heads,
            tied_embeddings=tied,
            bias=bias,
            attention_dropout=0.1,
            activation_dropout=0.1,
            decoder_layers=1,
        )
        model = Transformer(shape, TARGET if tied == "all" else SOURCE, TARGET)
        logits = model(*pair())
        assert logits.shape == (B, T, TARGET)
        torch.autograd.backward(logits.logsumexp(-1).sum() - logits[..., 5].sum())
        for name, weight in model.named_parameters():
            assert weight.grad is not None, (name, shape)
            assert bool(weight.grad.isfinite().all()), (name, shape)
            # A bias of the keys shifts all scores of a query alike and so learns nothing but rounding.
            assert bool(weight.grad.any()), (name, shape)


def test_encoder_and_decoder_have_their_own_depths() -> None:
    model = Transformer(settings(encoder_layers=3, decoder_layers=1), SOURCE, SOURCE)
    assert (len(model.encoder.layers), len(model.decoder.layers)) == (3, 1)


def test_shapes_on_the_way() -> None:
    model = Transformer(settings(tied_embeddings="target"), SOURCE, TARGET)
    source, source_is_token, target_in = pair()
    memory = model.encode(source, source_is_token)
    assert memory.shape == (B, S, 8)
    hidden = model.decode(target_in, memory, source_is_token)
    assert hidden.shape == (B, T, 8)
    cache = model.start(memory, source_is_token)
    assert model.step(target_in[:, 0], cache).shape == (B, TARGET)
    assert cache.source.shape == (2, 2, B, 2, S, 4)


def test_the_output_layer_takes_any_leading_shape() -> None:
    model = Transformer(settings(), TARGET, TARGET)
    hidden = torch.randn(2, 3, 5, 8)
    logits = model.output(hidden)
    assert logits.shape == (2, 3, 5, TARGET)
    chosen = torch.rand(2, 3, 5) > 0.5
    torch.testing.assert_close(model.output(hidden[chosen]), logits[chosen])


def test_tied_matrices_exist_once() -> None:
    sizes = {
        tied: {
            name for name, _ in Transformer(settings(tied_embeddings=tied), TARGET, TARGET).named_parameters()
        }
        for tied in ("none", "target", "all")
    }
    assert sizes["none"] - sizes["target"] == {"output_layer.weight"}
    assert sizes["target"] - sizes["all"] == {"source_embedding.weight"}
    model = Transformer(settings(), TARGET, TARGET)
    assert set(model.state_dict()) == sizes["all"]


def test_a_tied_output_layer_reads_the_target_vectors() -> None:
    model = Transformer(settings(tied_embeddings="target"), SOURCE, TARGET)
    hidden = torch.randn(5, 8)
    torch.testing.assert_close(model.output(hidden), hidden @ model.target_embedding.weight.T)


def test_tying_all_needs_one_vocabulary() -> None:
    with pytest.raises(ModelError, match=r"17 \(source\) and 13 \(target\)") as caught:
        Transformer(settings(tied_embeddings="all"), SOURCE, TARGET)
    assert "share: source-and-target" in caught.value.advice


def test_settings_that_contradict_each_other_make_no_model() -> None:
    with pytest.raises(ModelError, match="3 heads do not divide the width 8"):
        Transformer(settings(heads=3), TARGET, TARGET)


def test_bfloat16_autocast_is_near_float32() -> None:
    for shape in (settings(), settings(positions={"kind": "rotary"}, norm="rms_norm", activation="swiglu")):
        model, inputs = Transformer(shape, TARGET, TARGET).eval(), pair()
        exact = model(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            near = model(*inputs)
        assert near.dtype == torch.bfloat16
        torch.testing.assert_close(near.float(), exact, atol=0.08, rtol=0.05)  # measured: 0.03
        torch.autograd.backward(near.float().sum())
        assert all(
            weight.grad is not None and weight.grad.dtype == torch.float32 for weight in model.parameters()
        )


def test_one_seed_gives_one_training_pass_bit_for_bit() -> None:
    model, inputs = Transformer(settings(), TARGET, TARGET), pair()

    def gradient() -> torch.Tensor:
        torch.manual_seed(7)
        model.zero_grad()
        torch.autograd.backward(model(*inputs).sum())
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])

    assert torch.equal(gradient(), gradient())


def test_only_learned_positions_limit_the_length() -> None:
    assert Transformer(settings(), TARGET, TARGET).max_tokens is None
    assert Transformer(settings(positions={"kind": "learned", "max": 7}), TARGET, TARGET).max_tokens == 7
