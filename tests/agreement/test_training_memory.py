"""The memory that is foretold and the memory that a training takes."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch

from mtkit.training.tuning import has_bfloat16

# Measured when this was written (Linux, glibc): 1.23, 1.26, 1.22, 1.02 and 0.98 of what was
# taken. How much the allocator wastes depends on the order of sizes, so that there is room on both sides.
LEAST, MOST = 0.7, 1.4

TRAINING = textwrap.dedent(
    """
    import json, re, resource, sys
    from pathlib import Path
    import numpy as np, torch
    from mtkit.batches.batch import Update
    from mtkit.config.training import FixedTrainSettings
    from mtkit.model.products import prefers_onednn
    from mtkit.model.transformer import Transformer
    from mtkit.model.workers import Workers
    from mtkit.training.fitting import Fitting, Work
    from mtkit.training.memory import Shape, probe, resident_bytes
    from mtkit.training.optimizer import Optimizer
    from mtkit.training.update import Updater, part_gradients

    settings = FixedTrainSettings.model_validate(json.loads(sys.argv[1]))
    torch.set_num_threads(1)
    model = Transformer(settings.model, 3000, 3000).train()
    draw = np.random.default_rng(1)
    source, target = draw.integers(10, 41, (2, 3000))
    workers = settings.accumulate
    work = Work(model, source, target, workers=workers, taken=resident_bytes())
    tokens, parts = settings.batch_tokens, settings.accumulate
    expected = Fitting(settings, work, settings.precision).expected(tokens, parts)
    shapes = sorted(work.shapes(tokens, parts), key=lambda shape: -shape.rows * (shape.source + shape.target))
    if settings.precision == "bfloat16" or prefers_onednn():  # which keeps kernels of many shapes
        for rows, source_length, target_length in draw.integers((2, 3, 3), (12, 30, 30), (160, 3)):
            batch = probe(Shape(rows, source_length, target_length, 0), model)
            part_gradients(model, batch, batch.target_tokens, 0.1, settings.precision, 1)
    with Workers(workers) as pool:
        optimizer, copies = Optimizer(model, settings.optimizer, pool), []
        updater = Updater(model, optimizer, settings, 1, pool)
        for number in range(1, 3):
            update = Update.whole([probe(shape, model) for shape in shapes[:workers]])
            updater.step(update, updater.gradients(update, number), number, 0.1)
            copies.clear()
            saved = [*model.parameters(), *optimizer.state_dict().values()]
            copies = [tensor.detach().clone() for tensor in saved]  # as a checkpoint's, while it is written
    if sys.platform == "linux":  # where `ru_maxrss` begins with the peak of the program that started this one
        peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps([expected.total, peak, work.taken]))
    """
)
MODEL = {"dim": 128, "ffn_dim": 512, "heads": 4, "encoder_layers": 3, "decoder_layers": 3}
CASES: dict[str, dict[str, Any]] = {
    "one piece": {"accumulate": 1},
    "two workers, attention dropout": {"accumulate": 2, "model": {**MODEL, "attention_dropout": 0.1}},
    "muon": {"optimizer": {"kind": "muon"}},
    "bfloat16": {"precision": "bfloat16"},
    "muon, bfloat16, two workers": {"optimizer": {"kind": "muon"}, "precision": "bfloat16", "accumulate": 2},
}


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not tell a program's peak")
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case == "one piece" else pytest.mark.slow) for case in CASES],
)
def test_a_training_takes_what_was_foretold(case: str) -> None:
    if CASES[case].get("precision") == "bfloat16" and not has_bfloat16(torch.device("cpu")):
        pytest.skip("where bfloat16 is emulated no kernels are compiled, and less is taken")
    settings = {"until": {"updates": 9000}, "model": MODEL, "batch_tokens": 3000, **CASES[case]}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, json.dumps(settings)], capture_output=True, text=True, check=True
    )
    expected, peak, taken = json.loads(done.stdout)
    assert LEAST < (expected - taken) / (peak - taken) < MOST, (expected, peak, taken)
