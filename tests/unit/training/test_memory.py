import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, Muon, Optimizer, TrainSettings, Until
from mtkit.model.transformer import Transformer
from mtkit.training import memory, optimizer
from mtkit.training.memory import (
    Activations,
    Memory,
    Shape,
    expected,
    human,
    kept_bytes,
    probe,
    resident_bytes,
    system_memory,
)

LIMIT, USED, CACHED = 3_000_000_000, 500_000_000, 100_000_000


def built(**changes: Any) -> Transformer:
    values: dict[str, Any] = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
    values["tied_embeddings"] = "target"
    return Transformer(ModelSettings.model_validate({**values, **changes}), 23, 29)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"attention_dropout": 0.1, "activation_dropout": 0.1}, {"norm_order": "post", "kv_heads": 1}],
    ids=str,
)
def test_what_any_shape_keeps_is_foretold_from_small_ones(changes: dict[str, Any], precision: str) -> None:
    model = built(**changes)
    kept = Activations(model, precision)
    for shape in (Shape(7, 19, 31, 0), Shape(13, 37, 11, 0)):
        counted = kept_bytes(model, probe(shape, model), precision)
        assert kept.kept(shape) == pytest.approx(counted, rel=1e-3)


def test_looking_changes_neither_weights_nor_mode_nor_randomness() -> None:
    model = built().eval()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    Activations(model, "float32")
    assert torch.equal(torch.rand(1), wanted)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.parametrize("method", [AdamW(), Muon()], ids=lambda method: method.kind)
def test_the_optimisers_memory_is_what_it_remembers(method: Optimizer) -> None:
    model = built()
    settings = TrainSettings(until=Until(updates=9000), optimizer=method)
    made = optimizer.Optimizer(model, method)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    made.step(1.0, 1)
    remembered = sum(value.nbytes for value in made.state_dict().values() if value.dim())
    assert expected(settings, model, 0, 1, 1).optimizer == remembered


def test_gradients_are_counted_once_for_each_that_is_computed_and_once_for_their_sum() -> None:
    model = built()
    settings = TrainSettings(until=Until(updates=9000), ema_decay=0.9)
    one, two = (expected(settings, model, 1000 * parts, parts - 1, parts) for parts in (1, 2))
    weights = 4 * sum(weight.numel() for weight in model.parameters())
    assert (one.gradients, two.gradients) == (weights, 3 * weights)
    assert (one.activations, two.activations) == (1000, 2000)
    assert one.average == weights
    assert two.checkpoint == two.weights + two.optimizer + two.average
    assert two.more == two.gradients + two.optimizer + two.average + two.activations + two.checkpoint


def test_the_allocator_wastes_some_and_compiled_kernels_take_some(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, shapes = Activations(built(), "float32"), [Shape(3, 5, 7, 21), Shape(2, 3, 3, 6)]
    most = kept.bytes(shapes[0])
    for by_onednn, kernels in ((False, 0), (True, 300_000_000)):
        monkeypatch.setattr(memory, "prefers_onednn", lambda by_onednn=by_onednn: by_onednn)
        assert kept.taken(shapes, 2) == int(1.45 * 2 * most) + 60_000_000 + kernels
    in_bfloat16 = Activations(built(), "bfloat16").taken(shapes, 1)
    assert in_bfloat16 > 1_000_000_000  # whatever the batch


def test_what_is_shared_out_takes_less_of_each_process() -> None:
    model = built(encoder_layers=8, decoder_layers=8)
    settings = TrainSettings(until=Until(updates=9000), shard=True, ema_decay=0.9)
    alone, four = (expected(settings, model, 0, 2, 1, shards=count) for count in (1, 4))
    assert four.optimizer == alone.optimizer // 4
    assert four.average == alone.average // 4
    assert four.gradients < alone.gradients
    assert four.weights == alone.weights  # a whole copy, to translate with
    assert four.checkpoint == alone.checkpoint  # rank 0 gathers it


def write_system(root: Path, groups: str, files: dict[str, str]) -> Path:
    meminfo = "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  4000000 kB\n"
    for name, text in {"proc/meminfo": meminfo, "proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_machine_without_limits_tells_all_its_memory(tmp_path: Path) -> None:
    root = write_system(tmp_path, "0::/\n", {"sys/fs/cgroup/memory.max": "max\n"})
    assert system_memory(root) == Memory(8_192_000_000, 4_096_000_000)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (
            "0::/a/b\n",
            {"a/memory.max": f"{LIMIT}", "a/memory.current": f"{USED}", "a/b/memory.max": "max",
             "a/memory.stat": f"anon 1\ninactive_file {CACHED}\n"},
        ),
        (
            "4:memory:/a/b\n0::/\n",
            {"memory/a/b/memory.limit_in_bytes": f"{LIMIT}", "memory/a/b/memory.usage_in_bytes": f"{USED}",
             "memory/a/b/memory.stat": f"cache 1\ntotal_inactive_file {CACHED}\n"},
        ),
        (
            "0::/not/seen/from/inside\n",
            {"memory.max": f"{LIMIT}", "memory.current": f"{USED}",
             "memory.stat": f"inactive_file {CACHED}\n"},
        ),
    ],
    ids=["version 2", "version 1", "inside a container"],
)  # fmt: skip
def test_what_a_container_leaves_counts(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    root = write_system(tmp_path, groups, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert system_memory(root) == Memory(LIMIT, LIMIT - USED + CACHED)


@pytest.mark.parametrize("soft", [LIMIT, None])
def test_what_this_process_may_take_counts(tmp_path: Path, soft: int | None) -> None:
    limits = f"Limit\nMax address space         {soft or 'unlimited':<20} unlimited            bytes\n"
    pages = USED // os.sysconf("SC_PAGE_SIZE")
    files = {"proc/self/limits": limits, "proc/self/statm": f"{pages} 2 3 4\n"}
    left = Memory(8_192_000_000, 4_096_000_000)
    if soft:
        left = Memory(LIMIT, LIMIT - pages * os.sysconf("SC_PAGE_SIZE"))
    assert system_memory(write_system(tmp_path, "0::/\n", files)) == left


def test_where_nothing_tells_what_is_free_half_is_taken(tmp_path: Path) -> None:
    found = system_memory(tmp_path)
    assert found is None or found.free == found.total // 2


def test_this_process_takes_some_memory_and_people_can_read_how_much() -> None:
    assert resident_bytes() == 0 or resident_bytes() > 50_000_000  # torch alone is more
    assert (human(640_000_000), human(1_240_000_000)) == ("640 MB", "1.2 GB")
