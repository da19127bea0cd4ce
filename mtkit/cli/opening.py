"""What a command is given: the model that is named, or that of the newest finished run; a text or stdin."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.core import ParameterSource

from mtkit.cli.options import MODEL_VARIABLE, RUNS
from mtkit.errors import ModelError
from mtkit.files import decode_lines, read_lines
from mtkit.log import say


def find_model(named: Path | None, *, quiet: bool) -> Path:
    """The model folder to use; said on stderr if nobody named it.

    Args:
        named: `--model` or MTKIT_MODEL: a model folder, or a run or stage that has one.

    Raises:
        ModelError: there is none.
    """
    from mtkit.translation.find_model import model_folder

    if named is not None:
        return model_folder(named)
    from mtkit.pipeline.runs import newest_model

    newest = newest_model(RUNS)
    if newest is None:
        raise ModelError(
            f"no model was named, and there is no finished run under ./{RUNS}",
            expected=f"--model DIR, {MODEL_VARIABLE}, or a run to take it from",
            advice="Train one with `mtkit run RECIPE`, or name a model folder with --model.",
        )
    recipe, folder = newest
    say(f"model: {folder} (newest finished run: {recipe})", quiet=quiet)
    return folder


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text, or of stdin if the path is `-`; raises as `read_lines`."""
    return decode_lines(sys.stdin.buffer, "stdin") if str(path) == "-" else read_lines(path)


def given_on_command_line(name: str) -> bool:
    """True if the running command was given this parameter, rather than finding it in the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE
