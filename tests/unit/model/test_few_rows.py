import copy

import pytest
import torch
from torch import nn

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model import few_rows
from mtkit.model.few_rows import MOST, FewRows, lay_out_for_few_rows
from mtkit.model.products import has_onednn, has_packing_of_mkl
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search

SIZE = 31
SOURCES = [[4, 5, 6, 7], [8, 9], [5] * 9]


def made(tied: str) -> Transformer:
    settings = {"dim": 8, "ffn_dim": 20, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
    return Transformer(ModelSettings.model_validate({**settings, "tied_embeddings": tied}), SIZE, SIZE).eval()


@pytest.mark.parametrize("tied", ["all", "none"])
def test_a_model_laid_out_for_search_is_the_same_model(
    tied: str,
) -> None:
    model = made(tied)
    laid_out = copy.deepcopy(model)
    lay_out_for_few_rows(laid_out)
    for (name, weight), (other_name, other) in zip(
        model.named_parameters(), laid_out.named_parameters(), strict=True
    ):
        assert name == other_name
        assert torch.equal(weight, other)
    settings = SearchSettings(beam_size=3, n_best=3)
    ours, theirs = search(laid_out, SOURCES, settings), search(model, SOURCES, settings)
    for found, wanted in zip(ours, theirs, strict=True):
        assert [one.ids for one in found] == [one.ids for one in wanted]
        assert [one.score for one in found] == pytest.approx([one.score for one in wanted], abs=1e-5)


def test_matrices_of_the_decoder_lie_by_columns_and_embeddings_by_rows() -> None:
    model = made("all")
    lay_out_for_few_rows(model)
    layers = [layer for layer in model.decoder.modules() if isinstance(layer, FewRows)]
    by_columns = [layer.weight.t().is_contiguous() for layer in layers]
    assert by_columns and all(by_columns)
    assert not any(isinstance(layer, nn.Linear) for layer in model.decoder.modules())
    assert model.target_embedding.weight.is_contiguous()


@pytest.mark.parametrize("made_for_mkl", [True, False])
@pytest.mark.parametrize("preferred", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(20, 8), (7, 33)])
def test_a_packed_layer_is_the_layer_for_every_number_of_rows(
    bias: bool, shape: tuple[int, int], preferred: bool, made_for_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "prefers_onednn", lambda: preferred)
    monkeypatch.setattr(few_rows, "is_made_for_mkl", lambda: made_for_mkl)
    monkeypatch.setattr(few_rows, "CACHED", 0)
    torch.manual_seed(1)
    layer = nn.Linear(shape[1], shape[0], bias=bias).eval()
    few = FewRows(layer.weight, layer.bias)
    for rows in (0, *range(1, 18), MOST - 1, MOST, MOST + 1):
        states = torch.randn(rows, 1, shape[1])
        with torch.inference_mode():
            torch.testing.assert_close(few(states), layer(states), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("made_for_mkl", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_what_a_layer_adds_to_is_left_as_it_is(
    bias: bool, made_for_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "is_made_for_mkl", lambda: made_for_mkl)
    torch.manual_seed(1)
    layer = nn.Linear(8, 5, bias=bias).eval()
    few = FewRows(layer.weight, layer.bias)
    for rows in (1, 2, 9, MOST + 1):
        states, total = torch.randn(rows, 8), torch.randn(rows, 5)
        before = total.clone()
        with torch.inference_mode():
            found = few.onto(total, states)
            torch.testing.assert_close(found, before + layer(states), rtol=1e-4, atol=1e-5)
        assert torch.equal(total, before)


@pytest.mark.skipif(not has_onednn(), reason="needs oneDNN's products")
@pytest.mark.parametrize("made_for_mkl", [True, False])
def test_where_mkl_is_at_home_large_matrices_alone_are_packed(
    made_for_mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "is_made_for_mkl", lambda: made_for_mkl)
    # of which the output layer has more, and a matrix of the width squared less
    monkeypatch.setattr(few_rows, "CACHED", SIZE * 8 - 1)
    model = made("all")
    lay_out_for_few_rows(model)
    packs = {
        layer.weight.shape: layer.packed is not None or layer.packed_for_mkl is not None
        for layer in model.decoder.modules()
        if isinstance(layer, FewRows)
    }
    assert packs[torch.Size([8, 8])] is not made_for_mkl
    output = getattr(model.output_for_search, "__self__", None)
    by_mkl = made_for_mkl and has_packing_of_mkl()
    assert isinstance(output, FewRows)
    assert (output.packed is None, output.packed_for_mkl is None) == (by_mkl, not by_mkl)
    assert model.rows_for_search(21) == (21 if made_for_mkl else 24)


def test_where_torch_packs_nothing_columns_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "packed", lambda *_: None)
    weight = nn.Parameter(torch.randn(4, 6))
    few = FewRows(weight, None)
    states = torch.randn(3, 6)
    torch.testing.assert_close(few(states), states @ weight.t())
