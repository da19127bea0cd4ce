"""The translate stage: a held-out split of the corpus → its translations, through the same `Translator`
that `mtkit translate` uses, so that both give the same text."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtkit.config.search import TranslateSettings
from mtkit.errors import DataError
from mtkit.files import read_lines, write_json, write_lines
from mtkit.log import Progress, RunContext
from mtkit.translation.asked import NOTHING_ASKED, Asked
from mtkit.translation.translation import Translation
from mtkit.translation.translator import Translator

COUNTED_FLAGS = ("truncated", "split", "repeated")


@dataclass(frozen=True)
class TranslateInputs:
    """What the stage reads.

    Attributes:
        corpus: folder of a corpus stage.
        train: folder of a train stage; its `model` is used.
    """

    corpus: Path
    train: Path


def translate_corpus(
    settings: TranslateSettings,
    inputs: TranslateInputs,
    out: Path,
    run: RunContext,
    asked: Asked = NOTHING_ASKED,
) -> None:
    """Translate a split; write sources, references, hypotheses, what is known of each, and a summary.

    Args:
        settings: which split, and how to search.
        inputs: corpus and model.
        out: what is written goes here.
        run: device and talk.
        asked: the chooser that the settings want, scoring being no business of this room.

    Raises:
        DataError: the split is empty, or its sides differ in length.
        ModelError: the model cannot be used.
    """
    source = list(read_lines(inputs.corpus / f"{settings.split}.source"))
    reference = list(read_lines(inputs.corpus / f"{settings.split}.target"))
    _check(source, reference, inputs.corpus / settings.split)
    translator = Translator.open(
        inputs.train / "model",
        settings.search,
        run.device,
        threads=run.threads,
        batch_tokens=settings.batch_tokens,
        asked=asked,
    )
    started = time.monotonic()
    translations = list(_watched(translator.translate(source), len(source), run))
    seconds = time.monotonic() - started
    counts = Counter(flag for translation in translations for flag in translation.flags)
    flags = {name: counts[name] for name in COUNTED_FLAGS}
    summary = {
        "sentences": len(source),
        "seconds": round(seconds, 2),
        "split": settings.split,
        "flags": flags,
    }
    write_lines(out / "source", source)
    write_lines(out / "reference", reference)
    write_lines(out / "hypotheses", (translation.text for translation in translations))
    write_lines(
        out / "hypotheses.jsonl",
        (translation.to_json(line) for line, translation in enumerate(translations, start=1)),
    )
    write_json(out / "translate.json", summary)
    run.events.write("translate", **summary)
    if flagged := ", ".join(f"{count:,} {name}" for name, count in flags.items() if count):
        run.say(f"{settings.split}: {flagged}")


def _check(source: list[str], reference: list[str], stem: Path) -> None:
    if len(source) != len(reference) or not source:
        raise DataError(
            f"{len(source):,} source and {len(reference):,} target sentences",
            where=f"{stem}.source, {stem}.target",
            expected="as many source as target sentences, at least one",
            advice="Look at corpus.json beside them; then delete that folder and run the recipe again.",
        )


def _watched(translations: Iterator[Translation], total: int, run: RunContext) -> Iterator[Translation]:
    """The same translations, with a progress line unless quiet."""
    if run.quiet:
        yield from translations
        return
    with Progress("translate", total, "sentences") as progress:
        for translation in translations:
            yield translation
            progress.advance()
        progress.finish()
