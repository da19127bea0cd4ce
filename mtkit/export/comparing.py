"""Two engines, the same lines: where they differ, by how much, and whether rounding is to blame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtkit.export.probe import ProbeLine
from mtkit.scoring.metrics import score
from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.converted import Difference
from mtkit.translation.engine import Engine
from mtkit.translation.long_input import rejoin
from mtkit.translation.torch_engine import TorchEngine
from mtkit.translation.translator import Translator

TIE = 1e-4  # of a score, in nats: nearer than this, engines that add in another order may choose differently
METRICS = ("bleu", "chrf")


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
            exact: True if its weights are the same, so that only ties and rounding excuse a difference.
        """
        found = []
        for number, (ours, theirs) in enumerate(zip(self.torch.parts, other.parts, strict=True)):
            if [one.ids for one in ours] == [one.ids for one in theirs]:
                continue
            gap = sum(one.score for one in ours) - sum(one.score for one in theirs)
            because = self._because(number, gap) if exact else "quantization"
            found.append(
                Difference(
                    line=number + 1,
                    source=self.lines[number].source,
                    torch=self.torch.texts[number],
                    converted=other.texts[number],
                    score_gap=round(gap, 6),
                    because=because,
                )
            )
        return found

    def largest_gap(self, other: Translated) -> float:
        """The largest difference, in nats, between what both say of a translation that they share."""
        gaps = [
            abs(one.log_probability - another.log_probability)
            for ours, theirs in zip(self.torch.parts, other.parts, strict=True)
            for one, another in zip(ours, theirs, strict=True)
            if one.ids == another.ids and one.finished == another.finished
        ]
        return max(gaps, default=0.0)

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
                "torch": round(ours.value, 4),
                "converted": round(theirs.value, 4),
                "signature": ours.signature,
            }
        return found

    def _because(self, number: int, gap: float) -> str:
        """What excuses a difference where nothing was rounded on purpose; empty: nothing does."""
        if abs(gap) <= TIE:
            return "tie"
        sources = list(self._prepared[number].ids)
        exactly = self._engine.in_double().search(sources, self._settings)
        alike = [one[0].ids for one in exactly] == [one.ids for one in self.torch.parts[number]]
        return "" if alike else "rounding"
