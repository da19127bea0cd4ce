"""The export stage: the model of a train stage, converted and proved on the corpus's held-out lines."""

from dataclasses import dataclass
from pathlib import Path

from mtkit.config.export import ExportSettings
from mtkit.export.convert import convert
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.log import RunContext
from mtkit.translation.converted import CONVERTED


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
    """Convert a model into `out/ctranslate2`, certificate included.

    Raises:
        ModelError: both engines do not translate alike.
        RunError: this CPU cannot compute so.
    """
    lines = corpus_lines(inputs.corpus, settings.probe_lines) + nasty_lines()
    certificate = convert(
        inputs.train / "model", out / CONVERTED, settings, lines, threads=run.threads, say=run.say
    )
    run.events.write("export", **certificate.model_dump(mode="json", exclude={"files", "differences"}))
    run.say(certificate.line())
