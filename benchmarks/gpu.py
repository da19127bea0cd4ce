"""Training the Transformer-big shape on a GPU in bfloat16: mtkit in three ways, and the plain reference.

Every update goes the way of a real one: pairs from an id store on disk, batches made ahead by a thread,
page-locked memory, loss, clipping, AdamW. The sentences are made up: log-normal lengths, random ids. mtkit's
ways are one more thing at a time, so that one run says what does what: padded batches, packed ones, packed
ones through compiled layers. The last is how mtkit trains.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmarks.figures import FLOPS_A_MULTIPLY_ADD
from benchmarks.peers.peer import Shape
from benchmarks.reference import EOS, PAD, Model
from mtkit.batches.batch import Update
from mtkit.batches.store import FORMAT, HEADER, IdStore, IdStoreSummary
from mtkit.batches.stream import BatchStream
from mtkit.config.training import FixedTrainSettings
from mtkit.files import write_json
from mtkit.log import RunContext
from mtkit.model.count import model_flops
from mtkit.model.transformer import Transformer
from mtkit.training.devices import prepared
from mtkit.training.optimizer import Optimizer
from mtkit.training.packing import compiled
from mtkit.training.update import Updater

BIG = Shape(layers=6, dim=1024, ffn_dim=4096, heads=16)
PIECES, PAIRS, MOST_TOKENS = 32_000, 200_000, 256
MEAN_LOG, SPREAD_LOG = 3.2, 0.55  # of target lengths: 28 tokens in the mean, as WMT14 has
WARM_UPDATES = 20  # shapes are seen, kernels chosen
AHEAD_UPDATES = 3
PEAK_SIZE, PEAK_PRODUCTS = 8192, 20

Step = Callable[[Update, int], None]
PADDED, PACKED, COMPILED = "mtkit, padded", "mtkit, packed", "mtkit, packed and compiled"
REFERENCE = "torch.nn.Transformer"


@dataclass(frozen=True)
class Case:
    """What is measured, and where.

    Attributes:
        device: cuda, or the CPU in tests.
        shape: of the model.
        pieces: of the shared vocabulary.
        pairs: in the made-up corpus.
        batch_tokens: target tokens an update.
        backend: of torch's compiler; a cheap one in tests.
        fewest_updates: that are measured, however short the time.
    """

    device: torch.device
    shape: Shape = BIG
    pieces: int = PIECES
    pairs: int = PAIRS
    batch_tokens: int = 32_768
    backend: str = "inductor"
    fewest_updates: int = 1

    @property
    def settings(self) -> FixedTrainSettings:
        """As a recipe would say it."""
        shape = self.shape
        architecture = {
            "dim": shape.dim,
            "ffn_dim": shape.ffn_dim,
            "heads": shape.heads,
            "encoder_layers": shape.layers,
            "decoder_layers": shape.layers,
            "dropout": shape.dropout,
        }
        return FixedTrainSettings.model_validate(
            {
                "batch_tokens": self.batch_tokens,
                "max_tokens": MOST_TOKENS,
                "precision": "bfloat16",
                "until": {"updates": 1_000_000},
                "model": architecture,
            }
        )


def measure_gpu(seconds: float) -> tuple[dict[str, Any], str]:
    """Measure on the first GPU; the figures, and a text of them.

    Raises:
        SystemExit: torch sees no GPU here.
    """
    if not torch.cuda.is_available():
        raise SystemExit(
            f"--device cuda: torch {torch.__version__} sees no GPU here\n"
            "  Next: run this where one is, or leave the option out"
        )
    result = measure_case(Case(torch.device("cuda")), seconds)
    result["machine"] = torch.cuda.get_device_name()
    return result, table(result)


def measure_case(case: Case, seconds: float) -> dict[str, Any]:
    """mtkit's ways, then the reference, each for so many seconds of steady state."""
    torch.manual_seed(1)
    result: dict[str, Any] = {"date": date.today().isoformat(), "torch": torch.__version__, "rows": []}
    result["peak_tflops"] = _peak(case)
    with tempfile.TemporaryDirectory(prefix="mtkit-bench-") as folder:
        store = made_up_store(Path(folder), case)
        for name in (COMPILED, PACKED, PADDED, REFERENCE):
            try:
                row = {"name": name, **_measured(case, name, store, seconds)}
            except torch.OutOfMemoryError:
                row = {
                    "name": name,
                    "failed": f"out of memory with {case.batch_tokens:,} target tokens an update",
                }
            except RuntimeError as error:  # one way that fails costs no other its figures
                row = {"name": name, "failed": str(error).partition("\n")[0]}
            print(json.dumps(row), file=sys.stderr, flush=True)
            result["rows"].append(row)
            if case.device.type == "cuda":
                torch.cuda.empty_cache()
    return result


def made_up_store(folder: Path, case: Case) -> IdStore:
    """An id store of random ids in sentences of log-normal lengths, sources about as long as targets."""
    draw = np.random.default_rng(1)
    target = np.exp(draw.normal(MEAN_LOG, SPREAD_LOG, case.pairs)).clip(1, MOST_TOKENS - 1).astype(np.int64)
    source = (target * draw.normal(1.0, 0.15, case.pairs)).clip(1, MOST_TOKENS - 1).astype(np.int64)
    for side, words in (("source", source), ("target", target)):
        np.concatenate(([0], np.cumsum(words))).astype("<i8").tofile(folder / f"{side}.offsets")
        draw.integers(EOS + 1, case.pieces, int(words.sum()), dtype=np.uint16).astype("<u2").tofile(
            folder / f"{side}.ids"
        )
    np.arange(case.pairs, dtype="<i8").tofile(folder / "rows")
    summary = IdStoreSummary(
        format=FORMAT,
        pairs=case.pairs,
        left_out=0,
        max_tokens=MOST_TOKENS,
        source_tokens=int(source.sum()) + case.pairs,
        target_tokens=int(target.sum()) + case.pairs,
        types={"source": "<u2", "target": "<u2"},
        hashes={"source": "made up", "target": "made up"},
        rows_hash="made up",
    )
    write_json(folder / HEADER, asdict(summary))
    return IdStore.open(folder)


def _measured(case: Case, name: str, store: IdStore, seconds: float) -> dict[str, Any]:
    """The figures of one way to train."""
    if name == REFERENCE:
        return _timed(case, store, _reference(case), seconds, pack=False)
    with prepared(RunContext(device=str(case.device), quiet=True)):  # with one result for one seed, as always
        model = Transformer(case.settings.model, case.pieces, case.pieces).to(case.device).train()
        began = time.perf_counter()
        layers = compiled(case.settings, model, _told, case.backend) if name == COMPILED else None
        if name == COMPILED and layers is None:
            return {"failed": "the layers cannot be compiled (said above)"}
        compiling_seconds = round(time.perf_counter() - began, 1)
        found = _timed(case, store, _mtkit(case, model), seconds, pack=name != PADDED)
    if layers is not None:
        found |= {"compilations": layers.compilations, "compiling_seconds": compiling_seconds}
    return found


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _mtkit(case: Case, model: Transformer) -> Step:
    updater = Updater(model, Optimizer(model, case.settings.optimizer), case.settings, seed=1)

    def step(update: Update, number: int) -> None:
        updater.step(update, updater.gradients(update, number), number, 1.0)
        if splits := updater.splits():  # which would be measured in pieces
            raise torch.OutOfMemoryError(f"update {number} did not fit: {splits[0]}")

    return step


def _reference(case: Case) -> Step:
    shape = argparse.Namespace(**vars(case.shape))
    model = Model(case.pieces, shape).to(case.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, betas=(0.9, 0.98), fused=True)

    def step(update: Update, _: int) -> None:
        batch = update[0].to(case.device)
        with torch.autocast(case.device.type, torch.bfloat16):
            logits = model(batch.source, batch.target_in)
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(),
                batch.target_out.flatten(),
                ignore_index=PAD,
                label_smoothing=case.shape.label_smoothing,
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _timed(case: Case, store: IdStore, step: Step, seconds: float, *, pack: bool) -> dict[str, Any]:
    """Updates until the time is over; the device is waited for at both ends only."""
    on_gpu = case.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    target = source = positions = 0
    data_seconds = 0.0
    multiply_adds = 0.0
    started = wall = time.perf_counter()
    with BatchStream(store, case.settings, 1, ahead=AHEAD_UPDATES, pin=on_gpu, pack=pack) as stream:
        number = 0
        while number < WARM_UPDATES + case.fewest_updates or wall - started < seconds:
            asked = time.perf_counter()
            update = stream.next_update()
            got = time.perf_counter()
            step(update, number + 1)
            number += 1
            if number == WARM_UPDATES:
                _wait(case)
                started = time.perf_counter()
            elif number > WARM_UPDATES:
                target += update.target_tokens
                source += update.source_tokens
                positions += update.positions
                multiply_adds += products(case, store, update.rows)
                data_seconds += got - asked
            wall = time.perf_counter()
        _wait(case)
    elapsed = time.perf_counter() - started
    flops = FLOPS_A_MULTIPLY_ADD * multiply_adds
    return {
        "target_tokens_per_second": round(target / elapsed),
        "tokens_per_second": round((source + target) / elapsed),
        "tflops": round(flops / elapsed / 1e12, 2),
        "padding_share": round(1 - (source + target) / positions, 4),
        "waited_for_data_share": round(data_seconds / elapsed, 4),
        "updates": number - WARM_UPDATES,
        "seconds": round(elapsed, 1),
        "peak_gigabytes": round(torch.cuda.max_memory_allocated() / 1e9, 1) if on_gpu else None,
    }


def products(case: Case, store: IdStore, rows: NDArray[np.int64]) -> float:
    """Multiply-adds of an update, exactly: the count of a pair is a S + b T + c S² + d T² + e S T."""
    architecture = case.settings.model
    source = store.source_lengths[rows].astype(np.float64)
    target = store.target_lengths[rows].astype(np.float64)
    one = sum(model_flops(architecture, case.pieces, 1, 1))
    at = {
        (s, t): sum(model_flops(architecture, case.pieces, s, t)) for s, t in ((1, 0), (2, 0), (0, 1), (0, 2))
    }
    c, d = (at[2, 0] - 2 * at[1, 0]) / 2, (at[0, 2] - 2 * at[0, 1]) / 2
    a, b = at[1, 0] - c, at[0, 1] - d
    e = one - a - b - c - d
    return float((a * source + b * target + c * source**2 + d * target**2 + e * source * target).sum())


def _peak(case: Case) -> float:
    """TFLOP/s of large bfloat16 products on the same device."""
    size = PEAK_SIZE if case.device.type == "cuda" else 256
    a, b = (torch.randn(size, size, device=case.device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(PEAK_PRODUCTS):
        _wait(case)
        started = time.perf_counter()
        for _ in range(5):
            a @ b
        _wait(case)
        best = max(best, 5 * 2 * size**3 / (time.perf_counter() - started))
    return best / 1e12


def _wait(case: Case) -> None:
    """Until the device has done everything that it was given."""
    if case.device.type == "cuda":
        torch.cuda.synchronize()


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = [
        f"{result['date']}, {result['machine']}, torch {result['torch']};"
        f" matrix-multiply peak in bfloat16 {result['peak_tflops']:,.0f} TFLOP/s",
        "",
        "| | target tokens/s | share of peak | padding, filler | waited for data | memory GB | compiled |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['failed']} | | | | | |")
            continue
        cells = (
            row["name"],
            f"{row['target_tokens_per_second']:,}",
            f"{row['tflops'] / result['peak_tflops']:.0%}",
            f"{row['padding_share']:.1%}",
            f"{row['waited_for_data_share']:.1%}",
            f"{row['peak_gigabytes']}",
            f"{row['compilations']} graphs, {row['compiling_seconds']} s" if "compilations" in row else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
