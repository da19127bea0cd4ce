"""A batch as packed rows and as padded ones: the same hidden states, loss and gradients, to rounding."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.batches.batch import Batch, make_batch
from mtkit.batches.packed import ROWS
from mtkit.config.model import ModelSettings
from mtkit.model.transformer import Transformer
from mtkit.training.loss import gradients, measure

SIZE, LONGEST = 23, 40

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "learned": {
        "positions": {"kind": "learned", "max": LONGEST},
        "activation": "gelu",
        "tied_embeddings": "none",
    },
    "modern": {
        "positions": {"kind": "rotary"},
        "activation": "swiglu",
        "norm": "rms_norm",
        "bias": False,
        "kv_heads": 1,
        "tied_embeddings": "target",
    },
}


def model_of(changes: dict[str, Any]) -> Transformer:
    torch.manual_seed(5)
    shape = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}
    return Transformer(ModelSettings.model_validate(shape | changes), SIZE, SIZE).train()


def batch_of(lengths: list[tuple[int, int]]) -> Batch:
    """Pairs of so many ids, to which each side's EOS comes."""
    draw = torch.Generator().manual_seed(3)

    def sentences(side: int) -> list[list[int]]:
        return [torch.randint(4, SIZE, (pair[side],), generator=draw).tolist() for pair in lengths]

    return make_batch(sentences(0), sentences(1), range(len(lengths)))


def assert_the_same(model: Transformer, batch: Batch) -> None:
    packed = batch.pack(LONGEST)
    wanted_sums, wanted = gradients(model, batch, 100, 0.1)
    sums, found = gradients(model, packed, 100, 0.1)
    torch.testing.assert_close(sums, wanted_sums)
    torch.testing.assert_close(measure(model, packed), measure(model, batch))
    for (name, _), gradient, expected in zip(model.named_parameters(), found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize("changes", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize(
    "lengths",
    [
        [(3, 5), (7, 2), (5, 6), (2, 6), (7, 1), (4, 3), (6, 4)],
        [(1, 1)],
        [(LONGEST - 1, 3), (2, LONGEST - 1)],
        [(ROWS // 8 - 1, ROWS // 16 - 1)] * 8,  # one side's tokens are a multiple of the rows without filler
    ],
    ids=["a few", "one", "unequal", "full rows"],
)
def test_packed_and_padded_batches_have_the_same_loss_and_gradients(
    changes: dict[str, Any], lengths: list[tuple[int, int]]
) -> None:
    assert_the_same(model_of(changes), batch_of(lengths))


@given(
    lengths=st.lists(
        st.tuples(st.integers(0, LONGEST - 1), st.integers(0, LONGEST - 1)), min_size=1, max_size=12
    )
)
@settings(max_examples=25, deadline=None)
def test_of_whatever_lengths(lengths: list[tuple[int, int]]) -> None:
    assert_the_same(model_of(ARCHITECTURES["modern"]), batch_of(lengths))


def test_a_part_of_a_packed_batch_is_the_packed_part() -> None:
    batch = batch_of([(3, 5), (7, 2), (5, 6), (2, 6)])
    part, wanted = batch.pack(LONGEST).part(1, 3), batch.part(1, 3).pack(LONGEST)
    assert part.packed is not None and wanted.packed is not None
    assert torch.equal(part.packed.source, wanted.packed.source)
    assert torch.equal(part.packed.of_target.starts, wanted.packed.of_target.starts)
    assert part.target_tokens == wanted.target_tokens == len(part.packed.target_out)


def test_filler_is_seen_by_nobody() -> None:
    model = model_of(ARCHITECTURES["modern"]).eval()
    batch = batch_of([(3, 5), (7, 2)]).pack(LONGEST)
    assert batch.packed is not None
    before = model.packed(batch.packed)
    batch.packed.source[batch.source_tokens :] = 7
    batch.packed.target_in[batch.target_tokens :] = 9
    after = model.packed(batch.packed)
    assert torch.equal(before[: batch.target_tokens], after[: batch.target_tokens])
    assert not torch.equal(before[batch.target_tokens :], after[batch.target_tokens :])
