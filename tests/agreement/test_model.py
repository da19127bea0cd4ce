"""Two ways through the model, one answer."""

from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.model import few_rows
from mtkit.model.few_rows import lay_out_for_few_rows
from mtkit.model.transformer import Transformer

B, S, T, V = 3, 7, 19, 23  # T passes the cache's first capacity
VARIANTS: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "pre-norm": {},
    "learned positions": {"positions": {"kind": "learned", "max": 29}, "activation": "gelu"},
    "modern": {
        "norm": "rms_norm",
        "activation": "swiglu",
        "positions": {"kind": "rotary"},
        "bias": False,
        "kv_heads": 2,
    },
    "one key head": {"kv_heads": 1, "tied_embeddings": "none", "positions": {"kind": "rotary"}},
}


@pytest.fixture(params=list(VARIANTS))
def model(request: pytest.FixtureRequest) -> Transformer:
    torch.set_num_threads(1)
    torch.manual_seed(11)
    shape = {"dim": 24, "heads": 4, "ffn_dim": 37, "encoder_layers": 2, "decoder_layers": 2}
    return Transformer(ModelSettings.model_validate({**shape, **VARIANTS[request.param]}), V, V).eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    is_token = torch.ones(B, S, dtype=torch.bool)
    is_token[1, 5:] = False
    is_token[2, 2:] = False
    return torch.randint(4, V, (B, S)).masked_fill(~is_token, 0), is_token, torch.randint(4, V, (B, T))


def test_step_by_step_is_all_at_once(model: Transformer) -> None:
    source, is_token, target = inputs()
    with torch.no_grad():
        whole = model(source, is_token, target)
        cache = model.start(model.encode(source, is_token), is_token)
        steps = torch.stack([model.step(target[:, t], cache) for t in range(T)], dim=1)
    torch.testing.assert_close(steps, whole, atol=1e-5, rtol=1e-4)


def test_a_reordered_beam_reads_on_as_if_it_had_always_stood_so(model: Transformer) -> None:
    source, is_token, target = inputs()
    rows = torch.tensor([1, 0, 5, 5])  # sentence 1 (rows 2, 3) leaves
    half = T // 2
    hypotheses = torch.randint(4, V, (2 * B, half))
    with torch.no_grad():
        cache = model.start(model.encode(source, is_token), is_token)
        cache.expand(2)
        for t in range(half):
            model.step(hypotheses[:, t], cache)
        cache.select(rows)
        after = torch.stack([model.step(target[0, t].expand(4), cache) for t in range(half, T)], dim=1)
        sentences = rows // 2
        written = torch.cat([hypotheses[rows], target[0, half:].expand(4, -1)], dim=1)
        whole = model(source[sentences], is_token[sentences], written)[:, half:]
    torch.testing.assert_close(after, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize("made_for_mkl", [False, True])
def test_one_hypothesis_reads_on_when_other_sentences_have_left(
    model: Transformer, laid_out: bool, made_for_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "is_made_for_mkl", lambda: made_for_mkl)
    source, is_token, target = inputs()
    rows, half = torch.tensor([0, 2]), T // 2
    with torch.no_grad():
        whole = model(source, is_token, target)[rows, half:]
        if laid_out:
            lay_out_for_few_rows(model)
        cache = model.start(model.encode(source, is_token), is_token)
        for t in range(half):
            model.step(target[:, t], cache)
        cache.select(rows)
        after = torch.stack([model.step(target[rows, t], cache) for t in range(half, T)], dim=1)
    torch.testing.assert_close(after, whole, atol=1e-5, rtol=1e-4)


def test_padding_and_what_stands_in_it_influence_nothing(model: Transformer) -> None:
    source, is_token, target = inputs()
    with torch.no_grad():
        padded = model(source, is_token, target)
        other = source.masked_fill(~is_token, 9)
        assert torch.equal(model(other, is_token, target), padded)
        for row in range(B):
            alone = source[row : row + 1, is_token[row]]
            single = model(alone, torch.ones_like(alone, dtype=torch.bool), target[row : row + 1])
            torch.testing.assert_close(padded[row : row + 1], single, atol=1e-5, rtol=1e-4)


def test_no_position_sees_its_future(model: Transformer) -> None:
    source, is_token, target = inputs()
    changed = target.clone()
    changed[:, 8:] = 4 + (changed[:, 8:] - 3) % (V - 4)
    with torch.no_grad():
        first, second = model(source, is_token, target), model(source, is_token, changed)
    assert bool((target[:, 8:] != changed[:, 8:]).all())
    torch.testing.assert_close(first[:, :8], second[:, :8])
    assert bool((first[:, 8:] != second[:, 8:]).any())


def test_every_source_token_and_every_past_id_matters(model: Transformer) -> None:
    source, is_token, target = inputs()
    with torch.no_grad():
        first = model(source, is_token, target)
        for place in (0, S - 1):
            changed = source.clone()
            changed[0, place] = 4 + (changed[0, place] - 3) % (V - 4)
            assert bool((model(changed, is_token, target)[0] != first[0]).any())
            assert torch.equal(model(changed, is_token, target)[1:], first[1:])
        swapped = target.clone()
        swapped[0, 0] = 4 + (swapped[0, 0] - 3) % (V - 4)
        assert bool((model(source, is_token, swapped)[0, -1] != first[0, -1]).any())
