"""A micro-batch in one piece and in several that fit in the memory: the same gradients, dropout included."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from torch import Tensor

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, FixedTrainSettings, Until
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.training import update
from mtkit.training.loss import LossSums, gradients
from mtkit.training.optimizer import Optimizer
from mtkit.training.update import Updater

SIZE = 23


def batches() -> Update:
    """Two micro-batches with padding on both sides."""
    draw = torch.Generator().manual_seed(3)

    def sentences(lengths: list[int]) -> list[list[int]]:
        return [torch.randint(4, SIZE, (length,), generator=draw).tolist() for length in lengths]

    made = [
        make_batch(sentences([3, 7, 5, 2, 7, 4, 6]), sentences([5, 2, 6, 6, 1, 3, 4]), range(7)),
        make_batch(sentences([2, 4, 3]), sentences([1, 3, 2]), range(7, 10)),
    ]
    return Update.whole(made)


def computed(
    changes: dict[str, Any], most_pairs: int, monkeypatch: pytest.MonkeyPatch, workers: int = 1
) -> tuple[LossSums, dict[str, Tensor], list[int]]:
    """Loss and gradients on a machine whose memory holds so many pairs, and in how many pieces."""

    def limited(model: Transformer, batch: Batch, tokens: int, smoothing: float) -> Any:
        if len(batch) > most_pairs:
            raise torch.OutOfMemoryError("made up")
        return gradients(model, batch, tokens, smoothing)

    monkeypatch.setattr(update, "gradients", limited)
    torch.manual_seed(5)
    shape = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, **changes}
    model = Transformer(ModelSettings.model_validate(shape), SIZE, SIZE).train()
    settings = FixedTrainSettings(until=Until(updates=9000), model=model.settings)
    with Workers(workers) as side_by_side:
        updater = Updater(model, Optimizer(model, AdamW()), settings, 1, side_by_side)
        sums = updater.gradients(batches(), 4)
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return sums, found, sorted(split.pieces for split in updater.splits())


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3},
        {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.2, "norm_order": "post"},
        {"dropout": 0.1, "attention_dropout": 0.1, "kv_heads": 1, "activation": "swiglu", "norm": "rms_norm",
         "positions": {"kind": "rotary"}},
    ],
    ids=["plain", "dropout everywhere", "modern"],
)  # fmt: skip
@pytest.mark.parametrize(("most_pairs", "pieces"), [(4, [2]), (3, [3]), (1, [3, 7])])
def test_pieces_give_the_gradients_of_the_whole(
    changes: dict[str, Any], most_pairs: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_sums, whole, none = computed(changes, 7, monkeypatch)
    sums, found, made = computed(changes, most_pairs, monkeypatch)
    assert (none, made) == ([], pieces)
    torch.testing.assert_close(sums, whole_sums)
    assert found.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_several_workers_make_the_same_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, _ = computed({"dropout": 0.3}, 2, monkeypatch)
    _, two, made = computed({"dropout": 0.3}, 2, monkeypatch, workers=2)
    assert made == [2, 4]
    assert all(torch.equal(two[name], gradient) for name, gradient in one.items())


LIMITED = textwrap.dedent(
    """
    import json, os, resource, sys
    from pathlib import Path
    import torch
    from mtkit.batches.batch import Update
    from mtkit.config.training import FixedTrainSettings
    from mtkit.errors import RunError
    from mtkit.model.products import is_short_of_kernels
    from mtkit.model.transformer import Transformer
    from mtkit.training.memory import Shape, probe
    from mtkit.training.optimizer import Optimizer
    from mtkit.training.update import Updater

    settings = FixedTrainSettings.model_validate(json.loads(sys.argv[1]))
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Transformer(settings.model, 600, 600).train()
    updater = Updater(model, Optimizer(model, settings.optimizer), settings, 1)
    updater.gradients(Update.whole([probe(Shape(2, 5, 5, 10), model)]), 1)  # what is loaded late is loaded
    if spare := int(sys.argv[2]):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + spare
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        updater.gradients(Update.whole([probe(Shape(160, 90, 90, 160 * 90), model)]), 2)
    except RunError as error:
        print(json.dumps({"error": error.found}))
        sys.exit()
    norm = sum(float(one.grad.double().square().sum()) for one in model.parameters()) ** 0.5
    pieces = [split.pieces for split in updater.splits()]
    print(json.dumps({"norm": norm, "pieces": pieces, "is_short": is_short_of_kernels()}))
    """
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="addresses are limited as Linux limits them")
def test_memory_that_really_runs_out_costs_no_update() -> None:
    model = {"dim": 64, "ffn_dim": 256, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.1}
    settings = {"until": {"updates": 9000}, "batch_tokens": 99999, "accumulate": 1, "model": model}

    def gradients(spare: int) -> dict[str, Any]:
        command = [sys.executable, "-c", LIMITED, json.dumps(settings), str(spare)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    whole, limited = gradients(0), [gradients(spare * 1_000_000) for spare in (400, 250, 150, 100, 20)]
    assert whole["pieces"] == []
    assert any(found.get("pieces") for found in limited), "so little was never enough"
    for found in limited:
        assert (
            "memory does not hold" in found["error"]
            if "error" in found
            else (found["norm"] == pytest.approx(whole["norm"], rel=1e-3))
        )
