"""One system's scores: BLEU, chrF and TER through sacreBLEU, each with its full signature.

sacreBLEU is imported inside the functions, so that a help text does not wait for it. Comparing
systems lives in `significance.py`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mtkit.config.languages import primary_subtag
from mtkit.config.scoring import METRICS, Confidence
from mtkit.errors import DataError, RecipeError, RunError

BOOTSTRAP_SEED = 12345  # sacreBLEU's own default; the signature repeats it as `seed:12345`

# the sentences of one reference file, or of several, each as long as the hypotheses
References = Sequence[str] | Sequence[Sequence[str]]


@dataclass(frozen=True)
class Score:
    """A number and how it was made.

    Attributes:
        metric: `bleu`, `chrf` or `ter`.
        value: 0 to 100 for BLEU and chrF, higher is better; TER in edits per 100 words, lower is better.
        signature: sacreBLEU's, with the metric's name in front.
        confidence: low and high end of the 95 % interval, or None if none was asked for.
    """

    metric: str
    value: float
    signature: str
    confidence: tuple[float, float] | None = None

    def line(self) -> str:
        """The score in one line for people; the signature travels with it."""
        interval = ""
        if self.confidence is not None:
            interval = f" [{self.confidence[0]:.2f}, {self.confidence[1]:.2f}]"
        return f"{self.metric} {self.value:.2f}{interval}  {self.signature}"


def score(
    hypotheses: Sequence[str],
    references: References,
    metric: str,
    confidence: Confidence | None = None,
    *,
    language: str = "",
) -> Score:
    """Score a system's translations against one reference, or several.

    Args:
        hypotheses: one translation a sentence, detokenised.
        references: as many sentences; or a sequence of such references.
        metric: `bleu`, `chrf` or `ter`, with sacreBLEU's defaults.
        confidence: how many resamples for a 95 % interval; None: no interval.
        language: of the translations, such as `zh_TW`, for BLEU's tokenizer: sacreBLEU has one each for
            Chinese, Japanese and Korean; empty or any other: 13a. The signature says which.

    Raises:
        DataError: nothing to score, or the counts differ.
        RecipeError: there is no such metric.
        RunError: the tokenizer of this language is not installed.

    Source: Post 2018 (sacreBLEU); Koehn 2004 (bootstrap).
    """
    streams = reference_streams(references)
    check_counts({"hypotheses": hypotheses}, streams)
    measure = open_metric(metric, language)
    with fixed_seed():
        resamples = confidence.resamples if confidence else 1
        result = measure.corpus_score(list(hypotheses), streams, n_bootstrap=resamples)
    mean, half = float(result._mean), float(result._ci)
    interval = (mean - half, mean + half) if confidence else None
    # the whole signature, as papers quote it: `BLEU|nrefs:1|case:mixed|…|version:2.6.0`
    signature = f"{result.name}|{measure.get_signature()}"
    return Score(metric, float(result.score), signature, interval)


def open_metric(metric: str, language: str = "") -> Any:
    """A fresh sacreBLEU metric with its default settings for a language.

    Raises:
        RecipeError: there is no such metric.
        RunError: the tokenizer of this language is not installed.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if metric == "bleu":
        try:
            # `force` silences a warning only; `tokenised.py` gives a better one
            return BLEU(force=True, trg_lang=primary_subtag(language))
        except RuntimeError as error:
            raise _no_tokenizer(language) from error
    if metric == "chrf":
        return CHRF()
    if metric == "ter":
        return TER()
    raise RecipeError(
        f"no such metric: {metric!r}", expected=" or ".join(METRICS), advice="Choose one of these."
    )


def _no_tokenizer(language: str) -> RunError:
    return RunError(
        f"BLEU of text in {language!r} needs a tokenizer that is not installed",
        expected="sacreBLEU with its extra libraries for this language",
        advice=f"Run `pip install 'sacrebleu[{primary_subtag(language)}]'`.",
    )


def reference_streams(references: References) -> list[list[str]]:
    """One list of sentences for each reference, whether one reference was given or several."""
    if all(isinstance(reference, str) for reference in references):
        return [[str(sentence) for sentence in references]]
    return [list(reference) for reference in references]


def check_counts(systems: dict[str, Sequence[str]], streams: Sequence[Sequence[str]]) -> None:
    """Refuse to score nothing, or sides that cannot belong together."""
    for name, hypotheses in systems.items():
        for number, reference in enumerate(streams, start=1):
            if len(hypotheses) != len(reference):
                which = f"reference {number}" if len(streams) > 1 else "the reference"
                raise DataError(
                    f"{name}: {len(hypotheses):,} sentences, but {which} has {len(reference):,}",
                    expected="a translation for each reference sentence, in the same order",
                    advice="Check that both files are whole and belong to the same test set.",
                )
    if not any(streams) or not systems:
        raise DataError(
            "there is nothing to score: no sentences",
            expected="at least one sentence",
            advice="Check the files; an empty test set has no score.",
        )


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Draw the same resamples everywhere, whatever `SACREBLEU_SEED` says in this environment."""
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(BOOTSTRAP_SEED)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before
