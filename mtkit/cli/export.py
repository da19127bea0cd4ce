"""`mtkit export`: a trained model for another engine."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from mtkit.cli.export_elsewhere import huggingface, onnx, safetensors
from mtkit.cli.export_options import (
    aligned_text,
    budget_options,
    probe_lines_option,
    probe_of,
    probe_option,
    settings_of,
)
from mtkit.cli.opening import find_model
from mtkit.cli.options import quiet_option, threads_option
from mtkit.config.export import QUANTIZATIONS, ExportSettings
from mtkit.errors import RecipeError, RunError
from mtkit.log import say


@click.group()
def export() -> None:
    """Convert a model for another engine, with proof that it translates alike.

    \b
    Examples:
      mtkit export ctranslate2 runs/demo
      mtkit export huggingface runs/demo demo-hf
      mtkit export onnx runs/demo demo-onnx
      mtkit export safetensors runs/demo demo-model
    """


export.add_command(huggingface)
export.add_command(onnx)
export.add_command(safetensors)


@export.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default=ExportSettings.model_fields["quantization"].default,
    show_default=True,
    help="What weights are rounded to.",
)
@click.option(
    "--shortlist",
    type=click.IntRange(min=1),
    metavar="N",
    help="Consider only the N most probable target pieces of each source piece.  [default: all pieces]",
)
@click.option(
    "--shortlist-text",
    type=click.Path(path_type=Path),
    metavar="STEM",
    help="Text to learn that from: STEM.SOURCE and STEM.TARGET.  [default: the run's training text]",
)
@probe_option
@probe_lines_option
@budget_options
@threads_option
@quiet_option
def ctranslate2(
    model: Path | None,
    shortlist_text: Path | None,
    probe: Path | None,
    threads: int | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Convert a model for CTranslate2.

    The result goes into the model folder, as `ctranslate2/`, and from then on `mtkit translate` uses it on a
    CPU: quicker, and without torch. Held-out lines of the run and a fixed list of odd ones are translated by
    both engines. In float32 they must agree token for token; otherwise the loss of BLEU and chrF must stay
    within bounds, or a finer rounding is taken. What was found is in ctranslate2/certificate.json. If the two
    do not agree, the lines are shown and nothing is written.

    With --shortlist the output layer is computed for a part of the vocabulary, which is quicker: the pieces
    that those of the source become in a text that is aligned, and the most frequent. What that may cost is
    bounded alike; if it costs more, longer lists are tried. What shares a batch with a line can change its
    translation then (docs/exporting.md).

    MODEL is a run or a model folder; left out, it is that of the newest finished run.

    \b
    Examples:
      mtkit export ctranslate2
      mtkit export ctranslate2 runs/demo --quantization int8
      mtkit export ctranslate2 runs/demo --quantization int8 --shortlist 20
      mtkit export ctranslate2 model/ --quantization int8 --probe data/test
    """
    from mtkit.training.openmp import quiet_openmp

    chosen = settings_of("ctranslate2", settings)
    if shortlist_text is not None and chosen.shortlist is None:
        raise RecipeError(
            "it has no effect without --shortlist",
            where="--shortlist-text",
            expected="an option with an effect",
            advice="Remove it, or add --shortlist.",
        )
    folder = find_model(model, quiet=quiet)
    _check_not_stored(folder)
    quiet_openmp()
    from mtkit.export.convert import convert
    from mtkit.export.proof import check_takes_files
    from mtkit.translation.converted import CONVERTED

    check_takes_files(folder / CONVERTED)
    lines = probe_of(folder, probe, chosen.probe_lines, quiet=quiet)
    tell = partial(say, quiet=quiet)
    aligned = aligned_text(folder, shortlist_text)
    certificate = convert(
        folder, folder / CONVERTED, chosen, lines, threads=threads, say=tell, aligned=aligned
    )
    tell(certificate.line())
    tell(str(folder / CONVERTED))


def _check_not_stored(folder: Path) -> None:
    """A finished stage is never edited; a run's own model folder, beside it, may be."""
    if (folder.resolve().parent / "stage.json").is_file():
        raise RunError(
            "this model is part of a stored stage, which is never changed",
            where=str(folder),
            expected="a run, such as runs/NAME, or a copy of the model folder",
            advice="Name the run that trained it.",
        )
