from pathlib import Path

import pytest
import torch

from benchmarks.gpu import Case, made_up_store, measure_gpu, products
from benchmarks.peers.peer import Shape
from mtkit.batches.stream import BatchStream
from mtkit.model.count import model_flops

TINY = Case(torch.device("cpu"), Shape(layers=1, dim=8, ffn_dim=12, heads=2), 50, 300, 512)


def test_the_operations_of_an_update_are_the_sum_over_its_pairs(tmp_path: Path) -> None:
    store = made_up_store(tmp_path, TINY)
    with BatchStream(store, TINY.settings, seed=1) as stream:
        rows = stream.next_update().rows
    lengths = zip(store.source_lengths[rows], store.target_lengths[rows], strict=True)
    wanted = sum(sum(model_flops(TINY.settings.model, 50, int(s), int(t))) for s, t in lengths)
    assert products(TINY, store, rows) == wanted


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_what_to_do() -> None:
    with pytest.raises(SystemExit, match=r"sees no GPU here\n  Next: "):
        measure_gpu(1.0)
