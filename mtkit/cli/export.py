"""`mtkit export`: a trained model for another engine."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from mtkit.cli.opening import find_model
from mtkit.cli.options import quiet_option, threads_option
from mtkit.config.export import QUANTIZATIONS, ExportSettings
from mtkit.errors import RecipeError, RunError
from mtkit.log import say

_FIELDS = ExportSettings.model_fields


@click.group()
def export() -> None:
    """Convert a model for another engine, with proof that it translates alike.

    \b
    Examples:
      mtkit export ctranslate2 runs/demo
    """


@export.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default=_FIELDS["quantization"].default,
    show_default=True,
    help="What weights are rounded to.",
)
@click.option(
    "--probe",
    type=click.Path(path_type=Path),
    metavar="STEM",
    help="Text to compare on: STEM.SOURCE and STEM.TARGET.  [default: the run's valid and test]",
)
@click.option(
    "--probe-lines",
    type=click.IntRange(min=1),
    metavar="N",
    default=_FIELDS["probe_lines"].default,
    show_default=True,
    help="Lines of each text to compare on.",
)
@click.option(
    "--most-bleu-loss",
    type=click.FloatRange(min=0),
    metavar="BLEU",
    help=f"What rounding may cost.  [default: {_FIELDS['most_bleu_loss'].default}]",
)
@click.option(
    "--most-chrf-loss",
    type=click.FloatRange(min=0),
    metavar="CHRF",
    help=f"What rounding may cost.  [default: {_FIELDS['most_chrf_loss'].default}]",
)
@threads_option
@quiet_option
def ctranslate2(
    model: Path | None, probe: Path | None, threads: int | None, quiet: bool, **settings: Any
) -> None:
    """Convert a model for CTranslate2.

    The result goes into the model folder, as `ctranslate2/`, and from then on `mtkit translate` uses it on a
    CPU: quicker, and without torch. Held-out lines of the run and a fixed list of odd ones are translated by
    both engines. In float32 they must agree token for token; otherwise the loss of BLEU and chrF must stay
    within bounds, or a finer rounding is taken. What was found is in ctranslate2/certificate.json. If the two
    do not agree, the lines are shown and nothing is written.

    MODEL is a run or a model folder; left out, it is that of the newest finished run.

    \b
    Examples:
      mtkit export ctranslate2
      mtkit export ctranslate2 runs/demo --quantization int8
      mtkit export ctranslate2 model/ --quantization int8 --probe data/test
    """
    from mtkit.training.openmp import quiet_openmp

    chosen = _settings(settings)
    folder = find_model(model, quiet=quiet)
    _check_not_stored(folder)
    quiet_openmp()
    from mtkit.export.convert import convert
    from mtkit.export.probe import corpus_lines, nasty_lines, stem_lines
    from mtkit.model.folder import read_card
    from mtkit.pipeline.run_model import corpus_behind
    from mtkit.translation.converted import CONVERTED

    if probe is not None:
        card = read_card(folder)
        lines = stem_lines(probe, card.source_language, card.target_language, chosen.probe_lines)
    else:
        corpus = corpus_behind(folder)
        lines = corpus_lines(corpus, chosen.probe_lines) if corpus else []
        if corpus is None:
            say("no corpus of a run beside this model: compared on odd lines alone", quiet=quiet)
    tell = partial(say, quiet=quiet)
    certificate = convert(
        folder, folder / CONVERTED, chosen, lines + nasty_lines(), threads=threads, say=tell
    )
    tell(certificate.line())
    tell(str(folder / CONVERTED))


def _settings(given: dict[str, Any]) -> ExportSettings:
    settings = ExportSettings(**{name: value for name, value in given.items() if value is not None})
    for finding in settings.findings():
        raise RecipeError(
            finding.found,
            where=", ".join("--" + str(name).replace("_", "-") for name in finding.path),
            expected=finding.expected,
            advice=finding.advice,
        )
    return settings


def _check_not_stored(folder: Path) -> None:
    """A finished stage is never edited; a run's own model folder, beside it, may be."""
    if (folder.resolve().parent / "stage.json").is_file():
        raise RunError(
            "this model is part of a stored stage, which is never changed",
            where=str(folder),
            expected="a run, such as runs/NAME, or a copy of the model folder",
            advice="Name the run that trained it.",
        )
