"""Several systems on one test set: paired bootstrap resampling against the first (Koehn 2004).

The numbers are sacreBLEU's; here they get names and a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtkit.config.scoring import Confidence
from mtkit.errors import DataError
from mtkit.scoring.metrics import (
    BOOTSTRAP_SEED,
    References,
    Score,
    check_counts,
    fixed_seed,
    open_metric,
    reference_streams,
)

SIGNIFICANT = 0.05  # the customary level; the p-values themselves are always shown


@dataclass(frozen=True)
class ComparedScore:
    """One system's score on one metric.

    Attributes:
        system: its name.
        score: value, 95 % interval, signature.
        p_value: chance of a difference to the first system this large if both were equally good;
            None for the first system itself.
    """

    system: str
    score: Score
    p_value: float | None

    @property
    def significant(self) -> bool:
        """True if the difference to the first system is unlikely to be chance (p < 0.05)."""
        return self.p_value is not None and self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class Comparison:
    """Every system on every metric; the first system is what the others are compared with."""

    baseline: str
    metrics: tuple[str, ...]
    scores: tuple[ComparedScore, ...]  # metric by metric, systems in the order given
    resamples: int
    seed: int = BOOTSTRAP_SEED

    def of(self, metric: str) -> list[ComparedScore]:
        """The scores of one metric, in the order of the systems."""
        return [row for row in self.scores if row.score.metric == metric]

    def table(self) -> str:
        """A table for people, a block for each metric, signatures below."""
        width = max(len(row.system) for row in self.scores)
        lines = []
        for metric in self.metrics:
            lines.append(
                f"{metric:<{width}}  {'score':>6}  {'95 % interval':<16}  {'p':<7} against the first"
            )
            lines += [_row(row, width) for row in self.of(metric)]
            lines += [f"  {self.of(metric)[0].score.signature}", ""]
        lines.append(
            f"Paired bootstrap, {self.resamples:,} resamples, seed {self.seed}."
            f" *: p < {SIGNIFICANT}, the difference to {self.baseline} is unlikely to be chance."
        )
        return "\n".join(lines)


def _row(row: ComparedScore, width: int) -> str:
    low, high = row.score.confidence or (row.score.value, row.score.value)
    interval = f"[{low:.2f}, {high:.2f}]"
    p_value = "" if row.p_value is None else f"{row.p_value:.4f}{'*' if row.significant else ''}"
    return f"{row.system:<{width}}  {row.score.value:>6.2f}  {interval:<16}  {p_value}".rstrip()


def compare(
    systems: Mapping[str, Sequence[str]],
    references: References,
    metrics: Sequence[str],
    confidence: Confidence | None = None,
    *,
    language: str = "",
) -> Comparison:
    """Compare systems with the first by paired bootstrap resampling.

    Args:
        systems: name → translations; two or more.
        references: one reference or several, as for `score`.
        metrics: `bleu`, `chrf`, `ter`.
        confidence: how many resamples; None: as many as `Confidence` says.
        language: of the translations, as for `score`.

    Raises:
        DataError: fewer than two systems, nothing to score, or the counts differ.
        RecipeError: there is no such metric.
        RunError: the tokenizer of this language is not installed.

    Source: Koehn 2004; the p-value is two-sided, as sacreBLEU computes it.
    """
    if len(systems) < 2:
        raise DataError(
            "one system cannot be compared",
            expected="two systems or more",
            advice="Score it alone, or name the translations of another system too.",
        )
    streams = reference_streams(references)
    check_counts(dict(systems), streams)
    resamples = (confidence or Confidence()).resamples
    rows: list[ComparedScore] = []
    for metric in dict.fromkeys(metrics):
        measure = open_metric(metric, language)
        signature, results = _paired_bootstrap(systems, streams, measure, resamples)
        for system, result in zip(systems, results, strict=True):
            interval = (float(result.mean - result.ci), float(result.mean + result.ci))
            value = Score(metric, float(result.score), signature, interval)
            rows.append(ComparedScore(system, value, _p_value(result, results[0])))
    return Comparison(next(iter(systems)), tuple(dict.fromkeys(metrics)), tuple(rows), resamples)


def _p_value(result: Any, first: Any) -> float | None:
    """sacreBLEU's p-value, but for equal scores: it would call no difference at all a significant one."""
    if result.p_value is not None and result.score == first.score:
        return 1.0
    return None if result.p_value is None else float(result.p_value)


def _paired_bootstrap(
    systems: Mapping[str, Sequence[str]], streams: Sequence[Sequence[str]], measure: Any, resamples: int
) -> tuple[str, list[Any]]:
    """The signature and each system's result with score, mean, ci (half the interval) and p_value."""
    from sacrebleu.significance import PairedTest

    named: list[tuple[str, Sequence[str]]] = [(name, list(lines)) for name, lines in systems.items()]
    with fixed_seed():
        test = PairedTest(named, {"": measure}, streams, test_type="bs", n_samples=resamples)
        signatures, results = test()
    name, signature = next(iter(signatures.items()))
    return f"{name}|{signature}", list(results[name])
