"""The export stage: the model of a train stage in another format, proved on the corpus's held-out lines."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mtkit.config.export import ExportSettings
from mtkit.export.convert import convert
from mtkit.export.formats import check_writable, exporter
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.export.proof import Proof
from mtkit.export.shortlist import corpus_pairs
from mtkit.log import RunContext
from mtkit.translation.converted import CONVERTED, Certificate


@dataclass(frozen=True)
class ExportInputs:
    """What the stage reads.

    Attributes:
        corpus: folder of a corpus stage.
        train: folder of a train stage; its `model` is converted.
    """

    corpus: Path
    train: Path


def export_model(settings: ExportSettings, inputs: ExportInputs, out: Path, run: RunContext) -> None:
    """Write a model as `out/ctranslate2`, or whatever the format is called, certificate included.

    Raises:
        ModelError: both engines do not translate alike.
        RunError: this CPU cannot compute so, or what the format needs is not installed.
    """
    model, to = inputs.train / "model", settings.to
    lines = corpus_lines(inputs.corpus, settings.probe_lines) + nasty_lines()
    certificate: Certificate | Proof
    if to == "ctranslate2":
        aligned = partial(corpus_pairs, inputs.corpus)
        certificate = convert(
            model, out / CONVERTED, settings, lines, threads=run.threads, say=run.say, aligned=aligned
        )
    else:
        check_writable(settings, model)
        export = exporter(to)
        certificate = export(model, out / to, settings, lines, threads=run.threads, say=run.say)
    run.events.write("export", **certificate.model_dump(mode="json", exclude={"files", "differences"}))
    run.say(certificate.line())
