"""`mtkit import`: a model of another toolkit, made into a model folder."""

from functools import partial
from pathlib import Path

import click

from mtkit.cli.options import quiet_option
from mtkit.errors import RecipeError, RunError
from mtkit.log import say


@click.group("import")
def import_() -> None:
    """Make a model folder of another toolkit's model.

    \b
    Examples:
      mtkit import marian opus-mt-de-en/ model/
    """


@import_.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--source", metavar="CODE", help="Language it reads.  [default: as its tokenizer says]")
@click.option("--target", metavar="CODE", help="Language it writes.  [default: as its tokenizer says]")
@quiet_option
def marian(folder: Path, out: Path, source: str | None, target: str | None, quiet: bool) -> None:
    """Make a model folder of a Marian model in a Hugging Face folder.

    FOLDER is what transformers saved of a MarianMTModel and its tokenizer: config.json, model.safetensors,
    source.spm, target.spm, vocab.json. The model in OUT gives every translation the probability that the
    original gives it; `mtkit translate --model OUT` searches with its beam and length penalty. What our model
    cannot be is named, and nothing is written. Nothing that is read can run a program; neither transformers
    nor a connection is needed.

    \b
    Examples:
      mtkit import marian opus-mt-de-en/ model/
      mtkit import marian opus-mt-gmw-en/ model/ --source de --target en
    """
    from mtkit.training.openmp import quiet_openmp

    quiet_openmp()
    from mtkit.export.marian_import import import_marian

    _check_codes({"--source": source, "--target": target})
    _check_place(out)
    tell = partial(say, quiet=quiet)
    card = import_marian(folder, out, (source, target), tell)
    shape = card.architecture
    tell(
        f"{card.source_language} to {card.target_language}: {shape.encoder_layers} + {shape.decoder_layers}"
        f" layers of {shape.dim}, {card.target_size:,} pieces"
    )
    tell(str(out))


def _check_codes(named: dict[str, str | None]) -> None:
    """Make sure that languages are named as a recipe names them.

    Raises:
        RecipeError: one is not.
    """
    from mtkit.config.head import language_code

    for option, code in named.items():
        try:
            language_code("de" if code is None else code)
        except ValueError as error:
            raise RecipeError(
                f"{code!r} names no language",
                where=option,
                expected=str(error).removeprefix("expected "),
                advice=f"Name it by such a code, or leave {option} out: the model's tokenizer may say it.",
            ) from error


def _check_place(out: Path) -> None:
    """Make sure that a model folder may be written here.

    Raises:
        RunError: something stands here that no import made, or that cannot make room.
    """
    from mtkit.export.proof import is_immovable, is_taken
    from mtkit.model.folder import CARD, IMPORTED, read_card

    found, advice = "", "Name another folder, or move this one away."
    if (out / CARD).is_file() and IMPORTED not in read_card(out).provenance:
        found = "a model stands here that was not imported"
    elif is_immovable(out):
        found, advice = "this folder cannot be put in its place in one move", "Name another folder."
    elif not out.is_symlink() and is_taken(out, CARD):
        found = "something stands here"
    if found:
        raise RunError(
            found,
            where=str(out),
            expected="no such folder, an empty one, or that of an earlier import",
            advice=advice,
        )
