import math

import pytest
import torch
from torch import Tensor

from mtkit.config.model import ModelSettings, RotaryPositions
from mtkit.model.attention import CrossAttention, SelfAttention, attend, padding_mask

B, H, K, S, T = 2, 6, 5, 7, 3


def written_out(query: Tensor, key: Tensor, value: Tensor, may_attend: Tensor) -> Tensor:
    """softmax(QKᵀ/√K)V, head by head, in float64."""
    sentences, heads, length, head_dim = query.shape
    shared = heads // key.size(1)
    out = torch.empty(sentences, length, heads, head_dim, dtype=torch.float64)
    for b in range(sentences):
        for h in range(heads):
            q, k, v = query[b, h].double(), key[b, h // shared].double(), value[b, h // shared].double()
            weights = (q @ k.T / math.sqrt(head_dim)).masked_fill(~may_attend[b], -math.inf).softmax(-1)
            out[b, :, h] = weights @ v
    return out.flatten(2).float()


@pytest.mark.parametrize("kv_heads", [6, 3, 2, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_over_another_sentence_is_the_formula(kv_heads: int, masked: bool) -> None:
    query, key, value = (
        torch.randn(B, H, T, K),
        torch.randn(B, kv_heads, S, K),
        torch.randn(B, kv_heads, S, K),
    )
    is_token = torch.ones(B, S, dtype=torch.bool)
    if masked:
        is_token[1, 4:] = False
    seen = is_token[:, None, :].expand(B, T, S)
    may_attend = is_token[:, None, None, :] if masked else None
    result = attend(query, key, value, may_attend=may_attend)
    assert result.shape == (B, T, H * K)
    torch.testing.assert_close(result, written_out(query, key, value, seen))


@pytest.mark.parametrize("kv_heads", [6, 3, 2, 1])
def test_causal_attention_is_the_formula_over_the_past(kv_heads: int) -> None:
    query, key, value = (
        torch.randn(B, H, S, K),
        torch.randn(B, kv_heads, S, K),
        torch.randn(B, kv_heads, S, K),
    )
    past = torch.ones(S, S, dtype=torch.bool).tril().expand(B, S, S)
    torch.testing.assert_close(attend(query, key, value, causal=True), written_out(query, key, value, past))


@pytest.mark.parametrize("kv_heads", [None, 3, 1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rotary", [True, False])
def test_self_attention_is_its_three_projections_and_the_formula(
    kv_heads: int | None, bias: bool, rotary: bool
) -> None:
    positions = {"positions": RotaryPositions()} if rotary else {}
    settings = ModelSettings(dim=H * 4, heads=H, kv_heads=kv_heads, bias=bias, **positions)  # type: ignore[arg-type]
    block = SelfAttention(settings, causal=True)
    assert (block.query_key_value.bias is not None) == bias
    states, groups = torch.randn(B, S, settings.dim), kv_heads or H
    query, key, value = (
        part.view(B, S, -1, 4)
        for part in torch.split(block.query_key_value(states), [H * 4, groups * 4, groups * 4], dim=-1)
    )
    if block.rotary is not None:
        query, key = block.rotary(query), block.rotary(key)
    past = torch.ones(S, S, dtype=torch.bool).tril().expand(B, S, S)
    heads = written_out(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), past)
    torch.testing.assert_close(block(states), block.out(heads))


def test_cross_attention_is_its_three_projections_and_the_formula() -> None:
    settings = ModelSettings(dim=H * 4, heads=H, kv_heads=2)
    block = CrossAttention(settings)
    states, memory = torch.randn(B, T, settings.dim), torch.randn(B, S, settings.dim)
    is_token = torch.ones(B, S, dtype=torch.bool)
    is_token[0, 5:] = False
    query = block.query(states).view(B, T, H, 4).transpose(1, 2)
    key, value = (part.view(B, S, 2, 4).transpose(1, 2) for part in block.key_value(memory).chunk(2, dim=-1))
    heads = written_out(query, key, value, is_token[:, None, :].expand(B, T, S))
    result = block(states, block.keys_values(memory), is_token[:, None, None, :])
    torch.testing.assert_close(result, block.out(heads))


def test_attention_dropout_acts_in_training_only() -> None:
    settings = ModelSettings(dim=8, heads=2, attention_dropout=0.5)
    block, states = SelfAttention(settings, causal=False), torch.randn(B, S, 8)
    assert not torch.equal(block(states), block(states))
    block.eval()
    assert torch.equal(block(states), block(states))


def test_a_batch_without_padding_needs_no_mask() -> None:
    is_token = torch.ones(B, S, dtype=torch.bool)
    assert padding_mask(is_token) is None
    is_token[1, -1] = False
    mask = padding_mask(is_token)
    assert mask is not None
    assert mask.shape == (B, 1, 1, S)
    assert mask[:, 0, 0].equal(is_token)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_attention_with_dropout_is_attention_where_nothing_is_dropped(causal: bool, groups: int) -> None:
    torch.manual_seed(3)
    query, key, value = (torch.randn(3, heads, 5, 6) for heads in (4, groups, groups))
    may_attend = None if causal else torch.tensor([[True, True, False, True, False]] * 3)[:, None, None]
    least = 1e-9  # rounds to no draw at all
    found = attend(query, key, value, may_attend=may_attend, causal=causal, dropout=least)
    torch.testing.assert_close(found, attend(query, key, value, may_attend=may_attend, causal=causal))


def test_attention_weights_are_dropped_at_the_share_asked_for() -> None:
    torch.manual_seed(3)
    query, key = torch.zeros(40, 2, 8, 4), torch.zeros(40, 2, 16, 4)
    found = attend(query, key, torch.ones(40, 2, 16, 4), dropout=0.25)
    assert found.mean().item() == pytest.approx(1.0, abs=0.02)  # 4 standard errors
    assert found.std().item() == pytest.approx((0.25 / 0.75 / 16) ** 0.5, rel=0.1)


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
def test_the_weights_are_those_that_attention_mixes_values_with(kv_heads: int) -> None:
    settings = ModelSettings(dim=H * K, heads=H, kv_heads=kv_heads, ffn_dim=4)
    attention = CrossAttention(settings).eval()
    keys_values = attention.keys_values(torch.randn(B, S, H * K))
    keys_values[:, 1] = torch.randn(B, 1, S, K)  # the same values in all heads: their mean mixes them
    may_attend = (torch.arange(S) < torch.tensor([[S], [S - 2]]))[:, None, None]
    states = torch.randn(B, T, H * K)
    weights = attention.weights(states, keys_values, may_attend)  # [B, T, S]
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T))
    assert not weights[1, :, S - 2 :].any()
    attention.out = torch.nn.Identity()  # type: ignore[assignment]
    mixed = attention(states, keys_values, may_attend).unflatten(-1, (H, K)).mean(2)  # [B, T, K]
    torch.testing.assert_close(mixed, weights @ keys_values[:, 1, 0])
