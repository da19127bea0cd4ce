"""From what programs took to the figures of decoding that are printed, stored and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.measuring import Spent
from benchmarks.peers.peer import Shape
from benchmarks.quality.curves import METRICS, NAMES
from benchmarks.searching.systems import model_settings
from mtkit.model.count import model_flops

BYTES = 4  # of a weight in float32
HEADS = (
    "toolkit", "beam {beam} (least to most)", "times fairseq", "greedy", "whole command, beam {beam}",
    "seconds on 2 threads, beam {beam}", "of the limit", "peak memory MB",
)  # fmt: skip
TEXT_HEADS = (
    "program", "CPU-seconds, beam {beam} (least to most)", "whole command", "seconds on 2 threads",
    "whole command on 2 threads", "peak memory MB", *NAMES.values(),
)  # fmt: skip


@dataclass
class Row:
    """What one system took; every list has a value a round, made up to all lines.

    Attributes:
        name: of the system.
        version: of it.
        cpu_seconds: search → CPU-seconds without loading, one pinned thread.
        whole_cpu_seconds: the same of the whole command.
        seconds: by the clock on two threads, without loading.
        whole_seconds: the same of the whole command.
        peak_megabytes: of resident memory, one thread.
        tokens: search → pieces of a translation, in the mean.
        every: only every so-many-th line was translated.
        scores: metric → its value, where text is translated.
        ways: how CTranslate2 is called by hand, and what else was tried: search → way → seconds.
    """

    name: str
    version: str
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)
    whole_cpu_seconds: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    whole_seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_megabytes: list[float] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    every: int = 1
    scores: dict[str, float] = field(default_factory=dict)
    ways: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, search: str, loading: Spent, whole: Spent, threads: int) -> None:
        """Note a run over all lines (or every so-many-th), and one over a single line.

        Args:
            search: its name.
            loading: of a single line.
            whole: of all of them.
            threads: that both had.
        """

        def without(rest: float, all_of_it: float) -> float:
            return round(max(0.0, all_of_it - rest) * self.every, 3)

        if threads == 1:
            spent = without(loading.cpu_seconds, whole.cpu_seconds)
            self.cpu_seconds.setdefault(search, []).append(spent)
            complete = round(spent + loading.cpu_seconds, 3)
            self.whole_cpu_seconds.setdefault(search, []).append(complete)
            self.peak_megabytes.append(round(whole.peak_megabytes))
            return
        spent = without(loading.seconds, whole.seconds)
        self.seconds.setdefault(search, []).append(spent)
        self.whole_seconds.setdefault(search, []).append(round(spent + loading.seconds, 3))


def limit(shape: Shape, pieces: int, sources: Sequence[int], tokens: int, beam_size: int) -> dict[str, float]:
    """What the arithmetic of a search cannot do without.

    Args:
        shape: of the model.
        pieces: of the vocabulary, special ones included.
        sources: tokens of each source, EOS counted.
        tokens: target tokens of each translation.
        beam_size: hypotheses that are followed.

    Returns:
        `multiply_adds` of all matrix products, the source's once and the target's for each hypothesis;
        `step_bytes`, the weights that every step of a batch reads; `step_multiply_adds` of one hypothesis.
    """
    settings = model_settings(shape)
    total = 0
    for length in sources:
        counted = model_flops(settings, pieces, length, tokens)
        total += counted.source + beam_size * counted.target
    dim, ffn_dim = shape.dim, shape.ffn_dim
    # a layer of the decoder: 4 D² of self-attention, query and output of cross-attention, feed-forward
    weights = shape.layers * (6 * dim * dim + 2 * dim * ffn_dim) + pieces * dim
    return {
        "multiply_adds": float(total),
        "step_bytes": float(weights * BYTES),
        "step_multiply_adds": float(weights),
    }


def limit_seconds(result: Mapping[str, Any], search: str) -> float:
    """The least CPU-seconds of float32: two operations a multiply-add at the measured peak."""
    peak = median(result["peak_gflops"]) * 1e9
    return float(2 * result["limits"][search]["multiply_adds"] / peak)


def table(result: Mapping[str, Any]) -> str:
    """The systems that translate pieces, the fastest first."""
    rows = [Row(**values) for values in result["rows"]]
    main, other = result["searches"]
    fairseq = next((_middle(one.cpu_seconds[main]) for one in rows if one.name == "fairseq"), None)
    least = limit_seconds(result, main)
    lines = _head(HEADS, result)
    for one in sorted(rows, key=lambda one: _middle(one.cpu_seconds[main])):
        took = _middle(one.cpu_seconds[main])
        cells = (
            f"{one.name} {one.version}",
            _span(one.cpu_seconds[main]),
            f"{fairseq / took:.2f}" if fairseq else "–",
            _span(one.cpu_seconds.get(other, [])),
            f"{_middle(one.whole_cpu_seconds[main]):.1f}",
            _span(one.seconds.get(main, [])),
            f"{least / took:.0%}",
            f"{median(one.peak_megabytes):,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def text_table(result: Mapping[str, Any]) -> str:
    """The programs that translate text, if there was a model for them."""
    rows = [Row(**values) for values in result["text_rows"]]
    main = result["searches"][0]
    lines = _head(TEXT_HEADS, result)
    for one in rows:
        cells = (
            f"{one.name} {one.version}",
            _span(one.cpu_seconds[main]),
            f"{_middle(one.whole_cpu_seconds[main]):.1f}",
            _span(one.seconds.get(main, [])),
            f"{_middle(one.whole_seconds[main]):.1f}" if one.whole_seconds else "–",
            f"{median(one.peak_megabytes):,.0f}",
            *(f"{one.scores[metric]:.2f}" if metric in one.scores else "–" for metric in METRICS),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(result: Mapping[str, Any]) -> str:
    """What a result was measured on, and the physical limit of what translates pieces."""
    on, main = result["machine"], result["searches"][0]
    limits = result["limits"][main]
    parts = [
        f"{result['date']}, {on['processor']}, {on['cores']} cores ({', '.join(on['instructions'])}),"
        f" torch {on['torch']}; {result['rounds']} rounds; {result['lines']:,} lines of"
        f" {result['source_tokens']:,} source tokens"
    ]
    if result["rows"]:
        parts.append(
            f", {result['tokens']} target tokens each, batches of"
            f" {result['batch_sentences']} lines; matrix-multiply peak of a thread"
            f" {median(result['peak_gflops']):,.0f} GFLOP/s. The limit of {main}:"
            f" {limits['multiply_adds'] / 1e9:,.0f} billion multiply-adds, {limit_seconds(result, main):.1f}"
            f" s at that peak; a step reads {limits['step_bytes'] / 1e6:.1f} MB of weights and makes"
            f" {limits['step_multiply_adds'] / 1e6:.1f} million multiply-adds a hypothesis"
        )
    return f"{''.join(parts)}. {result['note']}".rstrip()


def blocks(result: Mapping[str, Any]) -> str:
    """All that docs/performance.md shows of a result."""
    parts = [summary(result)]
    if result["rows"]:
        parts.append(table(result))
    if result["text_rows"]:
        parts += [result["text_about"], text_table(result)]
    return "\n\n".join(parts)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as they are stored."""
    return [asdict(one) for one in rows]


def _head(heads: Sequence[str], result: Mapping[str, Any]) -> list[str]:
    named = [one.format(beam=result["beam_size"]) for one in heads]
    return [f"| {' | '.join(named)} |", "|---" + "|---:" * (len(named) - 1) + "|"]


def _middle(values: Sequence[float]) -> float:
    return max(median(values), 1e-9)


def _span(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
