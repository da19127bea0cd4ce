"""What a command is given: the model that is named, or that of the newest finished run; a text or stdin."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import click
from click.core import ParameterSource

from mtkit.cli.options import MODEL_VARIABLE, RUNS
from mtkit.errors import DataError, ModelError, MtkitError, RecipeError
from mtkit.files import decode_lines, lenient_lines, read_lines
from mtkit.log import say

RECIPE_SUFFIXES = (".yaml", ".yml")
RECIPE_KEYS = ("recipe:", "base:", "stages:")  # a recipe has at least one of them
MOST_HEAD_LINES = 200  # in which to look for them
MOST_LINES_WITHOUT_TAB = 1000  # at the head of a table; with more it is none


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


def refuse_text(given: Path, advice: str, of_words: str = "") -> None:
    """Tell whoever gives a text where a recipe belongs.

    Args:
        given: what stands in the recipe's place.
        advice: how the command takes texts.
        of_words: how it takes a sentence or stdin; empty: it takes none.

    Raises:
        RecipeError: it is a file that neither is named like a recipe nor reads like one; or it is a sentence,
            or `-`.
    """
    if given.suffix in RECIPE_SUFFIXES:
        return
    if of_words and not os.path.lexists(given):
        if str(given) != "-" and not any(map(str.isspace, str(given))):
            return
        advice = of_words
    elif not given.is_file() or _reads_like_a_recipe(given):
        return
    raise RecipeError(
        "this is no recipe",
        where=str(given),
        expected="the path of a recipe (.yaml), or the name of a shipped one",
        advice=advice,
    )


def _reads_like_a_recipe(path: Path) -> bool:
    try:
        return any(line.startswith(RECIPE_KEYS) for line in islice(read_lines(path), MOST_HEAD_LINES))
    except MtkitError:  # no UTF-8 text, so no recipe
        return False


def lines_of(path: Path, *, lenient: bool = False) -> Iterator[str]:
    """The lines of a text, or of stdin if the path is `-`; raises as `read_lines`."""
    if str(path) == "-":
        return (lenient_lines if lenient else decode_lines)(sys.stdin.buffer, "stdin")
    return read_lines(path, lenient=lenient)


def pairs_of(source: Path, target: Path, *, lenient: bool = False) -> Iterator[tuple[str, str]]:
    """The pairs of two texts, line by line.

    A file is read twice, so that its lines are never all in memory; stdin and pipes are held.

    Args:
        source: the one text, or `-`.
        target: the other.
        lenient: True to decode as `lenient_lines` does.

    Raises:
        RecipeError: both are stdin.
        DataError: one has more lines than the other; or as `read_lines`.
    """
    if str(source) == str(target) == "-":
        raise RecipeError(
            "stdin is named for both sides",
            where="- -",
            expected="two texts",
            advice="Name a file for one of them.",
        )
    sources, targets = (_readable_again(path, lenient=lenient) for path in (source, target))
    counts = [sum(1 for _ in lines()) for lines in (sources, targets)]
    if counts[0] != counts[1]:
        raise DataError(
            f"{counts[0]:,} and {counts[1]:,} lines",
            where=f"{source}, {target}",
            expected="a target line for each source line, in the same order",
            advice="Check that both files are whole and belong together.",
        )
    return zip(sources(), targets(), strict=False)  # they have been counted


def _readable_again(path: Path, *, lenient: bool) -> Callable[[], Iterable[str]]:
    """What gives the lines of a text as often as it is asked."""
    if str(path) != "-" and path.is_file():
        return partial(lines_of, path, lenient=lenient)
    lines = list(lines_of(path, lenient=lenient))
    return lambda: lines


def pairs_of_table(path: Path) -> Iterator[tuple[str, str | None]]:
    """The pairs of a table: source TAB target; what stands behind another tab is left alone.

    A line without a tab has no target: None. Bytes that are no UTF-8 are decoded as `lenient_lines` does.

    Raises:
        DataError: this is no table: its first lines have no tab, or it has none at all; or as `read_lines`.
    """
    lines = lines_of(path, lenient=True)
    head: list[str] = []
    for line in islice(lines, MOST_LINES_WITHOUT_TAB):
        head.append(line)
        if "\t" in line:
            break
    if head and "\t" not in head[-1]:
        is_head = len(head) == MOST_LINES_WITHOUT_TAB
        raise DataError(
            f"no tab in any of the first {len(head):,} lines" if is_head else "no tab in any line",
            where="stdin" if str(path) == "-" else str(path),
            expected="source TAB target in each line",
            advice="Join two files with `paste source target`, or name both of them.",
        )
    for line in chain(head, lines):
        source, tab, rest = line.partition("\t")
        yield source, rest.partition("\t")[0] if tab else None


def given_on_command_line(name: str) -> bool:
    """True if the running command was given this parameter, rather than finding it in the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE
