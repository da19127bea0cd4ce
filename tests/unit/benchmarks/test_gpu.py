from pathlib import Path

import pytest
import torch

from benchmarks.gpu import (
    COMPILED,
    PACKED,
    PADDED,
    REFERENCE,
    Case,
    made_up_store,
    measure_case,
    measure_gpu,
    products,
    table,
)
from benchmarks.peers.peer import Shape
from mtkit.batches.stream import BatchStream
from mtkit.model.count import model_flops
from mtkit.training import packing

TINY = Case(
    torch.device("cpu"),
    Shape(layers=1, dim=8, ffn_dim=12, heads=2, dropout=0.0),
    pieces=50,
    pairs=300,
    batch_tokens=512,
    backend="eager",
    fewest_updates=3,
)


def test_the_operations_of_an_update_are_the_sum_over_its_pairs(tmp_path: Path) -> None:
    store = made_up_store(tmp_path, TINY)
    with BatchStream(store, TINY.settings, seed=1) as stream:
        rows = stream.next_update().rows
    lengths = zip(store.source_lengths[rows], store.target_lengths[rows], strict=True)
    wanted = sum(sum(model_flops(TINY.settings.model, 50, int(s), int(t))) for s, t in lengths)
    assert products(TINY, store, rows) == wanted


def test_one_run_tells_what_packing_and_compiling_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "EXAMPLE_TOKENS", 2)
    result = measure_case(TINY, seconds=0.0)  # so that every way sees the same updates
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == [COMPILED, PACKED, PADDED, REFERENCE]
    assert all(row["target_tokens_per_second"] > 0 and row["peak_gigabytes"] is None for row in rows.values())
    assert {row["updates"] for row in rows.values()} == {TINY.fewest_updates}
    assert rows[COMPILED]["compilations"] == 3
    assert rows[PACKED]["padding_share"] == rows[COMPILED]["padding_share"] != rows[PADDED]["padding_share"]
    text = table(result | {"machine": "a CPU"}).splitlines()
    assert len(text) == 8
    assert {line.count("|") for line in text[2:]} == {8}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_what_to_do() -> None:
    with pytest.raises(SystemExit, match=r"sees no GPU here\n  Next: "):
        measure_gpu(1.0)
