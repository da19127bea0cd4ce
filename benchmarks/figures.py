"""From what was observed to the figures that are printed, stored as JSON and shown in docs/performance.md."""

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.measuring import Observation
from benchmarks.peers.peer import Shape
from mtkit.config.model import ModelSettings
from mtkit.model.cores import cpu_name
from mtkit.model.count import model_flops

FLOPS_A_MULTIPLY_ADD = 6  # in training: two forward, four backward
HEADS = (
    "toolkit", "tokens per CPU-second (least to most)", "times fairseq", "share of fp32 peak",
    "tokens/s, 2 threads", "padding", "peak memory MB", "first update s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one toolkit reached; every list has a value a round.

    Attributes:
        name: of the toolkit.
        version: of it.
        tokens_per_cpu_second: one pinned thread.
        tokens_per_second: by the clock, two threads on all cores; empty if it was not asked for.
        padding_share: of both sides.
        peak_megabytes: of resident memory, one thread.
        start_seconds: from the command to the end of the first update, two threads if they were measured.
    """

    name: str
    version: str
    tokens_per_cpu_second: list[float]
    tokens_per_second: list[float]
    padding_share: list[float]
    peak_megabytes: list[float]
    start_seconds: list[float]


def row(name: str, version: str, alone: Sequence[Observation], both: Sequence[Observation]) -> Row:
    """The figures of one toolkit from its runs on one thread and on two."""
    return Row(
        name=name,
        version=version,
        tokens_per_cpu_second=[round(one.tokens_per_cpu_second, 1) for one in alone],
        tokens_per_second=[round(one.tokens_per_second, 1) for one in both],
        padding_share=[round(one.padding_share, 4) for one in alone],
        peak_megabytes=[round(one.peak_megabytes) for one in alone],
        start_seconds=[round(one.start_seconds, 1) for one in (both or alone)],
    )


def flops_per_token(shape: Shape, pieces: int, lengths: Counter[tuple[int, int]]) -> float:
    """Floating-point operations of training per real token of either side, over a whole corpus.

    Args:
        shape: of the model.
        pieces: of the target vocabulary, special ones included.
        lengths: how many pairs have so many source and target tokens, EOS counted.
    """
    settings = ModelSettings(
        dim=shape.dim,
        ffn_dim=shape.ffn_dim,
        heads=shape.heads,
        encoder_layers=shape.layers,
        decoder_layers=shape.layers,
    )
    products = tokens = 0
    for (source, target), count in lengths.items():
        products += count * sum(model_flops(settings, pieces, source, target))
        tokens += count * (source + target)
    return FLOPS_A_MULTIPLY_ADD * products / tokens


def machine() -> dict[str, Any]:
    """What the figures were measured on; no names of hosts."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def table(result: Mapping[str, Any]) -> str:
    """A result as a Markdown table, the fastest first."""
    rows = [Row(**values) for values in result["rows"]]
    rows.sort(key=lambda one: -median(one.tokens_per_cpu_second))
    peak = median(result["peak_gflops"]["1 thread"]) * 1e9
    fairseq = next((median(one.tokens_per_cpu_second) for one in rows if one.name == "fairseq"), None)
    lines = [f"| {' | '.join(HEADS)} |", "|---" + "|---:" * (len(HEADS) - 1) + "|"]
    for one in rows:
        rate = median(one.tokens_per_cpu_second)
        span = f" ({min(one.tokens_per_cpu_second):,.0f} to {max(one.tokens_per_cpu_second):,.0f})"
        cells = (
            f"{one.name} {one.version}",
            f"{rate:,.0f}{span}",
            f"{rate / fairseq:.2f}" if fairseq else "–",
            f"{rate * result['flops_per_token'] / peak:.0%}",
            f"{median(one.tokens_per_second):,.0f}" if one.tokens_per_second else "–",
            f"{median(one.padding_share):.1%}",
            f"{median(one.peak_megabytes):,.0f}",
            f"{median(one.start_seconds):.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(result: Mapping[str, Any]) -> str:
    """What a result was measured on, in a sentence or two."""
    peaks = " · ".join(f"{name} {median(values):,.0f}" for name, values in result["peak_gflops"].items())
    on = result["machine"]
    return (
        f"{result['date']}, {on['processor']}, {on['cores']} cores ({', '.join(on['instructions'])}),"
        f" torch {on['torch']}; {result['rounds']} rounds of {result['seconds']} s, updates of"
        f" {result['batch_tokens']:,} target tokens, {result['flops_per_token'] / 1e6:.2f} MFLOP a token;"
        f" matrix-multiply peak in GFLOP/s: {peaks}. {result['note']}".rstrip()
    )


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as they are stored."""
    return [asdict(one) for one in rows]
