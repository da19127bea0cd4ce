"""From a model folder to a converted model with its certificate, or to nothing and the reasons."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ctranslate2
from ctranslate2.specs.transformer_spec import TransformerSpec

from mtkit import __version__
from mtkit.config.export import ExportSettings, Quantization, against_shortlist
from mtkit.config.model import LearnedPositions, SinusoidalPositions
from mtkit.errors import ModelError, RunError
from mtkit.export.comparing import (
    Comparison,
    Translated,
    against_exact,
    against_loss,
    check_measurable,
    losses_of,
    plain_beam,
)
from mtkit.export.mixing import MIXABLE, Rounding, mixtures
from mtkit.export.needs import check_needs
from mtkit.export.probe import ProbeLine
from mtkit.export.proof import fresh_folder
from mtkit.export.shortlist import ALWAYS, Aligned, learn, widths, write_shortlist
from mtkit.export.specification import check_expressible, layers, save, specification
from mtkit.files import replace_folder, sha256, user_errors, write_json
from mtkit.model.cores import default_threads
from mtkit.model.folder import WEIGHTS, ModelCard, check_folder, subword_folder
from mtkit.model.transformer import Transformer
from mtkit.search.length import length_limit
from mtkit.subword.codec import Subword
from mtkit.translation.converted import CERTIFICATE, Attempt, Certificate, Difference, Shortlist
from mtkit.translation.ctranslate2_engine import CTranslate2Engine
from mtkit.translation.ctranslate2_loading import computed_in, open_converted, read_pieces, uncomputable
from mtkit.translation.torch_engine import TorchEngine
from mtkit.translation.translator import BATCH_TOKENS, Translator, source_limit

LEAST_POSITIONS = 1024  # rows of a table of sinusoids
POSITIONS_PER_SOURCE_TOKEN = 4  # what may be written for the longest source, and room to spare
SHOWN = 5  # differences that an error shows
NEXT: dict[Quantization, Quantization] = {
    "int8": "int16",
    "int8_float32": "int16",
    "int16": "float32",
    "bfloat16": "float32",
}


@dataclass(frozen=True)
class Verdict:
    """What came of one conversion.

    Attributes:
        attempt: for the certificate.
        differences: the lines that differ.
        scores: metric → both engines' scores.
        against: why it is refused; empty where it is not.
    """

    attempt: Attempt
    differences: list[Difference]
    scores: dict[str, dict[str, object]]
    against: str


def convert(
    model_folder: Path,
    out: Path,
    settings: ExportSettings,
    probe: Sequence[ProbeLine],
    *,
    threads: int | None = None,
    say: Callable[[str], None],
    aligned: Aligned | None = None,
) -> Certificate:
    """Convert a model for CTranslate2 and prove that both translate alike.

    Where rounding costs more than it may, the layers whose rounding hurts most are left in float32; if that
    is not enough, the next finer one is tried, float32 last. A shortlist comes last of all: what it is laid
    over has passed without it.

    Args:
        model_folder: the model.
        out: the folder to be; written whole or not at all.
        settings: what to round weights to, and what that may cost.
        probe: the lines that both translate.
        threads: CPU threads.
        say: hears what was tried.
        aligned: text that a shortlist is learnt from; None: there is none.

    Raises:
        ModelError: CTranslate2 cannot express the model, or the two do not translate alike; with the lines.
        RunError: this CPU cannot compute so.
    """
    card = check_folder(model_folder)
    check_expressible(card.architecture)
    codec = Subword.load(subword_folder(model_folder))
    _check_shortlist(settings, codec, aligned)
    check_needs(settings)
    check_measurable(settings, probe)
    threads = threads or default_threads()
    engine = TorchEngine.load(model_folder, "cpu", threads=threads, batch_tokens=BATCH_TOKENS)
    translator = Translator(
        engine,
        codec,
        form=card.normalize,
        limit=source_limit(card.architecture, card.max_tokens),
        settings=plain_beam(card.decoding),
        languages=(card.source_language, card.target_language),
    )
    comparison = Comparison(translator, engine, probe, card.target_language)
    work = _Conversion(card, codec, comparison, settings, aligned)
    return work.run(engine, out, threads, say)


class _Conversion:
    """One model, converted until a conversion passes."""

    def __init__(
        self,
        card: ModelCard,
        codec: Subword,
        comparison: Comparison,
        settings: ExportSettings,
        aligned: Aligned | None,
    ) -> None:
        self.card, self.codec, self.aligned = card, codec, aligned
        self.comparison, self.settings = comparison, settings
        self.positions = positions_of(card)

    def run(self, engine: TorchEngine, out: Path, threads: int, say: Callable[[str], None]) -> Certificate:
        """Try one after the other; keep the first that passes."""
        tried: list[Attempt] = []
        verdict = None
        for rounding in self._roundings(engine, out, threads):
            with fresh_folder(out) as fresh:
                self._write(engine, fresh, rounding)
                converted = self._open(fresh, rounding, threads)
                verdict = self._verdict(self.comparison.translated(converted), rounding)
                tried.append(verdict.attempt)
                if not verdict.against:
                    shortlist = self._shortlist(fresh, rounding, threads, say)
                    certificate = self._certificate(fresh, tried, verdict, shortlist)
                    _settle(fresh, out, certificate)
                    return certificate
                say(f"{rounding}: {verdict.against}")
        assert verdict is not None, "what was asked for had been checked"
        raise _refused(tried, verdict)

    def _roundings(self, engine: TorchEngine, out: Path, threads: int) -> Iterator[Rounding]:
        """What was asked for, and what is finer."""
        quantization: Quantization | None = self.settings.quantization
        while quantization is not None:
            yield Rounding(quantization)
            if quantization in MIXABLE:
                weights = layers(self._specification(engine))
                harm = partial(self._harm, engine, out, threads, quantization, frozenset(weights))
                yield from mixtures(quantization, weights, harm)
            quantization = _finer(quantization)

    def _harm(
        self,
        engine: TorchEngine,
        out: Path,
        threads: int,
        quantization: Quantization,
        every: frozenset[str],
        layer: str,
    ) -> float:
        """What rounding one layer alone does."""
        alone = Rounding(quantization, tuple(sorted(every - {layer})))
        with fresh_folder(out) as fresh:
            self._write(engine, fresh, alone)
            return self.comparison.harm(self._open(fresh, alone, threads))

    def _specification(self, engine: TorchEngine) -> TransformerSpec:
        pieces = [self.codec.pieces(range(self.codec.size(side)), side) for side in ("source", "target")]
        assert isinstance(engine.model, Transformer), "a model folder holds one model"
        return specification(engine.model, pieces[0], pieces[1], self.positions or LEAST_POSITIONS)

    def _write(self, engine: TorchEngine, folder: Path, rounding: Rounding) -> None:
        with user_errors(folder):
            save(self._specification(engine), folder, rounding.quantization, rounding.finer)

    def _shortlist(
        self, folder: Path, rounding: Rounding, threads: int, say: Callable[[str], None]
    ) -> Shortlist | None:
        """The narrowest shortlist, of what was asked for and wider ones, that costs no more than it may."""
        asked = self.settings.shortlist
        if asked is None:
            return None
        assert self.aligned is not None, "what was asked for had been checked"
        lexicon, lines = learn(self.codec, self.aligned()), len(self.comparison.lines)
        against = ""
        for pieces in widths(asked, self.codec.size("target")):
            with user_errors(folder):
                write_shortlist(folder, lexicon, self.codec, pieces)
            translated = self.comparison.translated(self._open(folder, rounding, threads, shortlist=True))
            losses = losses_of(self.comparison.scores(translated))
            against = against_loss(losses, self.settings)
            if not against:
                return Shortlist(
                    asked=asked,
                    pieces=pieces,
                    always=ALWAYS,
                    pairs=lexicon.pairs,
                    bleu_loss=round(losses["bleu"], 4),
                    chrf_loss=round(losses["chrf"], 4),
                    alike=lines - len(self.comparison.differences(translated, exact=False)),
                )
            say(f"shortlist of {pieces:,}: {against}")
        raise ModelError(
            f"no shortlist is good enough: {against}",
            where="shortlist",
            expected="a loss of BLEU and chrF within the budget",
            advice="Export without one, or allow more loss; nothing was kept.",
        )

    def _open(
        self, folder: Path, rounding: Rounding, threads: int, *, shortlist: bool = False
    ) -> CTranslate2Engine:
        return CTranslate2Engine(
            open_converted(folder, rounding.quantization, threads),
            read_pieces(folder),
            architecture=self.card.architecture,
            max_tokens=self.positions,
            batch_tokens=BATCH_TOKENS,
            shortlist="doubtful" if shortlist else None,
        )

    def _verdict(self, translated: Translated, rounding: Rounding) -> Verdict:
        exact = rounding.quantization == "float32"
        differences = self.comparison.differences(translated, exact=exact)
        scores = self.comparison.scores(translated)
        losses = losses_of(scores)
        gap = self.comparison.largest_gap(translated)
        lines = len(self.comparison.lines)
        against = against_exact(differences, lines, gap) if exact else against_loss(losses, self.settings)
        attempt = Attempt(
            quantization=rounding.quantization,
            finer=list(rounding.finer),
            bleu_loss=_rounded(losses.get("bleu")),
            chrf_loss=_rounded(losses.get("chrf")),
            largest_gap=round(gap, 6),
            differences=len(differences),
            kept=not against,
        )
        return Verdict(attempt, differences, scores, against)

    def _certificate(
        self, folder: Path, tried: list[Attempt], verdict: Verdict, shortlist: Shortlist | None
    ) -> Certificate:
        names = sorted(path.name for path in folder.iterdir())
        quantization = verdict.attempt.quantization
        computed = computed_in(quantization)
        return Certificate(
            mtkit=__version__,
            ctranslate2=ctranslate2.__version__,
            quantization=quantization,
            finer=verdict.attempt.finer,
            computed=None if computed == quantization else computed,
            asked=self.settings.quantization,
            attempts=tried,
            most_bleu_loss=self.settings.most_bleu_loss,
            most_chrf_loss=self.settings.most_chrf_loss,
            search=plain_beam(self.card.decoding),
            probe=dict(Counter(line.origin for line in self.comparison.lines)),
            alike=len(self.comparison.lines) - len(verdict.differences),
            differences=verdict.differences,
            scores=verdict.scores,
            max_tokens=self.positions,
            shortlist=shortlist,
            weights=self.card.files[WEIGHTS],
            files={name: sha256(folder / name) for name in names},
        )


def _finer(quantization: Quantization) -> Quantization | None:
    """The next finer one that this CPU computes in; None after float32."""
    finer = NEXT.get(quantization)
    return _finer(finer) if finer is not None and uncomputable(finer) else finer


def positions_of(card: ModelCard) -> int | None:
    """Most tokens of a side that the converted model has positions for; None: any number."""
    positions = card.architecture.positions
    if isinstance(positions, LearnedPositions):
        return positions.max
    if isinstance(positions, SinusoidalPositions):
        return enough_positions(card)
    return None


def enough_positions(card: ModelCard) -> int:
    """Positions that are enough for the longest source and for all that a model's own search may write."""
    longest = source_limit(card.architecture, card.max_tokens)
    written = length_limit(longest, card.decoding)
    return max(LEAST_POSITIONS, POSITIONS_PER_SOURCE_TOKEN * longest, written)


def _check_shortlist(settings: ExportSettings, codec: Subword, aligned: Aligned | None) -> None:
    if settings.shortlist is None:
        return
    if aligned is None:
        raise RunError(
            "no text beside this model that a shortlist could be learnt from",
            where="shortlist",
            expected="a run with its corpus, or a parallel text",
            advice="Name a run rather than a model folder, or a text with `--shortlist-text STEM`.",
        )
    for wrong in against_shortlist(settings.shortlist, codec.size("target")):
        raise ModelError(wrong.found, where="shortlist", expected=wrong.expected, advice=wrong.advice)


def _refused(tried: Sequence[Attempt], verdict: Verdict) -> ModelError:
    shown = [one for one in verdict.differences if not one.because] or verdict.differences
    lines = "".join(
        f"\n    line {one.line}: {one.source[:60]!r}"
        f"\n        torch     {one.torch[:60]!r}\n        converted {one.converted[:60]!r}"
        for one in shown[:SHOWN]
    )
    names = ", then ".join(str(Rounding(one.quantization, tuple(one.finer))) for one in tried)
    return ModelError(
        f"the converted model does not translate like its original (tried {names}): {verdict.against}{lines}",
        where="export ctranslate2",
        expected="the same translations in float32; otherwise a loss within the budget",
        advice="Choose a finer `--quantization`, or allow more loss; nothing was kept.",
    )


def _settle(fresh: Path, out: Path, certificate: Certificate) -> None:
    write_json(fresh / CERTIFICATE, certificate.written())
    with user_errors(out):
        fresh.chmod(0o755)
        replace_folder(fresh, out)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
