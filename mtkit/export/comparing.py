"""Two engines, the same lines: where they differ, by how much, and whether it was a tie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtkit.config.export import ExportSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.export.probe import ProbeLine
from mtkit.scoring.metrics import score
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.margin import margin
from mtkit.translation.converted import Difference
from mtkit.translation.ctranslate2_loading import KNOWN
from mtkit.translation.engine import Engine
from mtkit.translation.long_input import rejoin
from mtkit.translation.torch_engine import TorchEngine
from mtkit.translation.translator import Translator

TIE = 1e-4  # nats: nearer than this, engines that add in another order may choose differently
METRICS = ("bleu", "chrf")
DIGITS = 4  # of scores, behind the point
MOST_EXCUSED = 0.05  # share of the lines that ties may account for; measured: none
MOST_NATS = 1e-3  # by which both may differ about one translation, in float32; measured: 1e-4


@dataclass(frozen=True)
class Translated:
    """The probe lines as one engine translates them.

    Attributes:
        texts: the translation of each line.
        parts: the best hypothesis of each part of each line; most lines have one part, blank ones none.
    """

    texts: tuple[str, ...]
    parts: tuple[tuple[Hypothesis, ...], ...]


class Comparison:
    """The probe, prepared once, and what the torch engine makes of it.

    Args:
        translator: over the torch engine.
        engine: that engine.
        lines: the probe.
        language: of the target, for the metrics.
    """

    def __init__(
        self, translator: Translator, engine: TorchEngine, lines: Sequence[ProbeLine], language: str
    ) -> None:
        self.lines = lines
        self.language = language
        self._translator, self._engine = translator, engine
        self._settings = translator.settings
        self._prepared = [translator.prepare(line.source) for line in lines]
        self._sources = [ids for prepared in self._prepared for ids in prepared.ids]
        self.torch = self.translated(engine)

    def translated(self, engine: Engine) -> Translated:
        """What an engine makes of the probe."""
        found = engine.search(self._sources, self._settings)
        best = iter(found)
        parts = tuple(tuple(next(best)[0] for _ in prepared.ids) for prepared in self._prepared)
        texts = tuple(
            rejoin(prepared.parts, [self._translator.target_text(one) for one in some])
            for prepared, some in zip(self._prepared, parts, strict=True)
        )
        return Translated(texts, parts)

    def differences(self, other: Translated, *, exact: bool) -> list[Difference]:
        """The lines that are translated differently.

        Args:
            other: what the other engine made of the probe.
            exact: True if its weights are the same, so that only ties excuse a difference.
        """
        found = []
        for number, (ours, theirs) in enumerate(zip(self.torch.parts, other.parts, strict=True)):
            differ = [ours[n].ids != theirs[n].ids for n in range(len(ours))]
            if not any(differ):
                continue
            gap = sum(one.score for one in ours) - sum(one.score for one in theirs)
            closest = self._closest(number, differ) if exact else None
            tie = "tie" if closest is not None and closest <= TIE else ""
            found.append(
                Difference(
                    line=number + 1,
                    source=self.lines[number].source,
                    torch=self.torch.texts[number],
                    converted=other.texts[number],
                    score_gap=round(gap, 6),
                    margin=closest,
                    because=tie if exact else "quantization",
                )
            )
        return found

    def largest_gap(self, other: Translated) -> float:
        """The largest difference, in nats, between what both say of the other's translations."""
        found = [one for parts in other.parts for one in parts]
        ours = [one for parts in self.torch.parts for one in parts]
        gaps = [
            abs(one.log_probability - another.log_probability)
            for one, another in zip(ours, found, strict=True)
            if one.ids == another.ids and one.finished == another.finished
        ]
        elsewhere = [
            (ids, another)
            for ids, one, another in zip(self._sources, ours, found, strict=True)
            if one.ids != another.ids and another.finished
        ]
        if elsewhere:
            values = self._engine.log_probabilities(
                [ids for ids, _ in elsewhere], [one.ids for _, one in elsewhere]
            )
            gaps += [
                abs(value - one.log_probability) for value, (_, one) in zip(values, elsewhere, strict=True)
            ]
        return max(gaps, default=0.0)

    def harm(self, engine: Engine) -> float:
        """What an engine says otherwise of the torch engine's translations: nats, the mean over all."""
        some = [
            (ids, one)
            for ids, one in zip(
                self._sources, (one for parts in self.torch.parts for one in parts), strict=True
            )
            if one.finished
        ]
        if not some:
            return 0.0
        values = engine.log_probabilities([ids for ids, _ in some], [one.ids for _, one in some])
        gaps = [abs(value - one.log_probability) for value, (_, one) in zip(values, some, strict=True)]
        return sum(gaps) / len(gaps)

    def scores(self, other: Translated) -> dict[str, dict[str, Any]]:
        """Metric → both engines' scores and the signature, on the lines that have references."""
        rows = [(n, line.reference) for n, line in enumerate(self.lines) if line.reference is not None]
        if not rows:
            return {}
        references = [reference for _, reference in rows]
        found = {}
        for metric in METRICS:
            ours, theirs = (
                score([texts[n] for n, _ in rows], references, metric, language=self.language)
                for texts in (self.torch.texts, other.texts)
            )
            found[metric] = {
                "torch": round(ours.value, DIGITS),
                "converted": round(theirs.value, DIGITS),
                "signature": ours.signature,
            }
        return found

    def _closest(self, number: int, differ: Sequence[bool]) -> float:
        """By how little torch's search was decided where a line differs; if several parts do, by most."""
        return max(
            margin(self._engine.model, ids, self._settings)
            for ids, other in zip(self._prepared[number].ids, differ, strict=True)
            if other
        )


def plain_beam(decoding: SearchSettings) -> SearchSettings:
    """The search that a certificate is about: the beam that all engines have, with a model's own settings.

    Whatever else a recipe decodes by (sampling, minimum Bayes risk, coverage, forbidden texts) asks engines
    for the same probabilities, or is searched with torch; and what is drawn at random proves nothing.

    Args:
        decoding: of the model's card.
    """
    kept = (KNOWN - {"n_best"}) & decoding.model_fields_set
    return SearchSettings.model_validate({name: getattr(decoding, name) for name in sorted(kept)})


def against_exact(differences: Sequence[Difference], lines: int, gap: float) -> str:
    """Why a model in float32 does not translate like its original; empty where it does.

    Args:
        differences: the probe lines that differ.
        lines: how many were compared.
        gap: nats by which both differ about the same translation, at most.
    """
    unexcused = [one for one in differences if not one.because]
    if unexcused:
        return f"{len(unexcused):,} of {lines:,} probe lines are translated differently"
    if len(differences) > max(1, MOST_EXCUSED * lines):
        return f"{len(differences):,} of {lines:,} probe lines differ, too many to be ties"
    if gap > MOST_NATS:
        return f"log probabilities of the same translation differ by up to {gap:.2g} nats"
    return ""


def losses_of(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Metric → what the converted model loses, of `Comparison.scores`, to the digits that these have."""
    return {name: round(found["torch"] - found["converted"], DIGITS) for name, found in scores.items()}


def against_loss(losses: dict[str, float], settings: ExportSettings) -> str:
    """Why rounded weights cost too much; empty where they do not.

    Args:
        losses: metric → what was lost.
        settings: what may be.
    """
    allowed = {"bleu": settings.most_bleu_loss, "chrf": settings.most_chrf_loss}
    over = [
        f"{_shown(losses[name], most)} {name} lost, {most:g} allowed"
        for name, most in allowed.items()
        if losses[name] > most
    ]
    return "; ".join(over)


def _shown(loss: float, most: float) -> str:
    """A loss with two digits, or with all of them where it would look like what is allowed."""
    short = f"{loss:.2f}"
    return short if float(short) > most else f"{loss:.{DIGITS}f}"


def check_measurable(settings: ExportSettings, probe: Sequence[ProbeLine]) -> None:
    """Make sure that what rounding costs can be told.

    Raises:
        ModelError: none of the lines has a reference that says anything.
    """
    if not settings.is_exact and not any((line.reference or "").strip() for line in probe):
        raise ModelError(
            "no text with references to measure what "
            + ("the shortlist" if settings.quantization == "float32" else settings.quantization)
            + " costs",
            where="the certificate",
            expected="held-out lines with their translations",
            advice="Name a run rather than a model folder, or a text with `--probe STEM`.",
        )
