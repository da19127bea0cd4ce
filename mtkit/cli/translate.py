"""`mtkit translate`: lines of text from stdin to stdout; or a recipe up to its translations."""

import os
import re
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mtkit.cli.opening import find_model, given_on_command_line, refuse_text
from mtkit.cli.options import device_option, model_option, quiet_option, threads_option
from mtkit.errors import RecipeError
from mtkit.files import decode_lines, read_lines
from mtkit.log import duration, say
from mtkit.translation.arrivals import byte_lines

if TYPE_CHECKING:
    from mtkit.config.search import SearchSettings
    from mtkit.translation.translation import Translation


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@model_option
@click.option(
    "--input",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text to translate.  [default: stdin]",
)
@click.option(
    "--beam-size",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Hypotheses followed at once; 1: greedy.  [default: the model's]",
)
@click.option(
    "--length-penalty",
    type=click.FloatRange(min=0),
    metavar="ALPHA",
    help="0: none; more favours longer translations.  [default: the model's]",
)
@click.option(
    "--n-best",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write N translations of each line; at most the beam size.",
)
@click.option("--scores", is_flag=True, help="Put each translation's score and a tab in front of it.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
@device_option
@threads_option
@quiet_option
def translate(recipe: Path | None, **options: Any) -> None:
    """Translate lines of text from stdin to stdout.

    Line N out is the translation of line N in, whatever is in it; a blank line gives an empty line. Each line
    is written as soon as it can be. A line too long for the model is translated in parts. Lines that were
    split, cut off or that repeat themselves are counted on stderr.

    With a RECIPE, runs it up to its translations instead; `mtkit run RECIPE --goal translate` does so with
    --set and --dry-run.

    \b
    Formats:
      (default)   translation
      --scores    score TAB translation
      --n-best N  rank TAB score TAB translation, N lines for each line
      --json      {line, source, translation, score, log_probability,
                  tokens, flags}; with --n-best also the list n_best

    A score is the log-probability in nats divided by the length penalty. Flags: empty, split, truncated,
    repeated, copied, unknown, vanished.

    \b
    Examples:
      mtkit translate < input.txt > output.txt
      echo "Good morning." | mtkit translate --n-best 3
      mtkit translate --model runs/demo --input input.txt --json
    """
    chosen = Options(**options)
    if recipe is None:
        _translate_text(chosen)
    else:
        _translate_recipe(recipe, chosen)


@dataclass(frozen=True)
class Options:
    """The command's options, as its help explains them."""

    model: Path | None
    path: Path | None
    beam_size: int | None
    length_penalty: float | None
    n_best: int | None
    scores: bool
    as_json: bool
    device: str
    threads: int | None
    quiet: bool


def _translate_recipe(recipe: Path, options: Options) -> None:
    from mtkit.cli.run import run_recipe_to_kind

    refuse_text(
        recipe,
        f"To translate a text: `mtkit translate --input {recipe}` or `mtkit translate < {recipe}`.",
    )
    flags = {
        "--model": options.model and given_on_command_line("model"),
        "--input": options.path,
        "--beam-size": options.beam_size,
        "--length-penalty": options.length_penalty,
        "--n-best": options.n_best,
        "--scores": options.scores,
        "--json": options.as_json,
    }
    if named := ", ".join(flag for flag, value in flags.items() if value not in (None, False)):
        raise RecipeError(
            f"{named} together with a recipe",
            where=str(recipe),
            expected="the recipe's own settings",
            advice="Write it into the recipe's translate stage, or leave the recipe out to translate text.",
        )
    result = run_recipe_to_kind(
        recipe, "translate", device=options.device, threads=options.threads, quiet=options.quiet
    )
    for stage in result.stages:
        if stage.kind == "translate":
            say(f"{stage.name}: {stage.folder / 'hypotheses'}", quiet=options.quiet)


def _translate_text(options: Options) -> None:
    from mtkit.model.folder import read_card
    from mtkit.training.openmp import quiet_openmp
    from mtkit.translation.translator import Translator

    folder = find_model(options.model, quiet=options.quiet)
    settings = search_settings(read_card(folder).decoding, options)
    lines, live = _input(options.path, quiet=options.quiet)
    quiet_openmp()
    translator = Translator.open(folder, settings, options.device, threads=options.threads)
    summary = Summary()
    with closing(translator.translate(lines, live=live)) as translations:
        try:
            _write(translations, summary, options)
        except BrokenPipeError:
            raise
        except BaseException:
            say(summary.line(), quiet=options.quiet)
            raise
    say(summary.line(), quiet=options.quiet)


def _write(translations: Iterator["Translation"], summary: "Summary", options: Options) -> None:
    out = sys.stdout.buffer
    for translation in translations:
        summary.add(translation)
        lines = written(translation, summary.lines, options)
        out.write("".join(line + "\n" for line in lines).encode("utf-8"))
        out.flush()


def written(translation: "Translation", line: int, options: Options) -> list[str]:
    """The output lines of one translation: one, or with `n_best` as many as that.

    Args:
        line: number of the line, from 1.
    """
    if options.as_json:
        return [translation.to_json(line, with_n_best=options.n_best is not None)]
    if options.n_best is not None:
        found = [
            f"{rank}\t{candidate.score:.4f}\t{candidate.text}"
            for rank, candidate in enumerate(translation.n_best, start=1)
        ]
        return found + [f"{rank}\t\t" for rank in range(len(found) + 1, options.n_best + 1)]
    if options.scores:
        return [f"{translation.score:.4f}\t{translation.text}"]
    return [translation.text]


class Summary:
    """What is said at the end: how many lines, how fast, and what is known against them."""

    def __init__(self) -> None:
        self.lines = 0
        self.flags: Counter[str] = Counter()
        self._started = time.monotonic()

    def add(self, translation: "Translation") -> None:
        """Count one translation."""
        self.lines += 1
        self.flags.update(translation.flags)

    def line(self) -> str:
        """The summary in one line; flags in their usual order, those that never occurred left out."""
        from mtkit.translation.flags import FLAGS

        seconds = time.monotonic() - self._started
        lines = f"{self.lines:,} line{'' if self.lines == 1 else 's'} in {duration(seconds)}"
        return " · ".join([lines, *(f"{self.flags[flag]:,} {flag}" for flag in FLAGS if self.flags[flag])])


def search_settings(card: "SearchSettings", options: Options) -> "SearchSettings":
    """The model's own search settings with those changed that were given.

    Raises:
        RecipeError: they do not fit together.
    """
    from mtkit.config.search import SearchSettings

    names = ("beam_size", "length_penalty", "n_best")
    chosen = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    settings = SearchSettings(**(card.model_dump() | chosen))
    if "n_best" not in chosen:  # a smaller beam has fewer to give
        settings = settings.model_copy(update={"n_best": min(settings.n_best, settings.beam_size)})
    for finding in settings.findings():
        if finding.path == ("length_penalty",) and "length_penalty" not in chosen:
            continue  # nobody asked for it
        raise RecipeError(
            _in_options(finding.found),
            where=", ".join("--" + str(name).replace("_", "-") for name in finding.path),
            expected=_in_options(finding.expected),
            advice=_in_options(finding.advice),
        )
    return settings


def _in_options(text: str) -> str:
    """A text about settings, with the options' names for them."""
    return re.sub(r"\b(beam_size|n_best|length_penalty)\b", lambda m: "--" + m[1].replace("_", "-"), text)


def _input(path: Path | None, *, quiet: bool) -> tuple[Iterator[str], bool]:
    """The lines to translate, and whether to translate what is there while more is awaited."""
    if path is not None and str(path) != "-":
        lines = read_lines(path)
        # the first line now, so that a file that cannot be read is told before the model is loaded
        return chain(list(islice(lines, 1)), lines), False
    stream = sys.stdin.buffer
    if stream.isatty():
        say("Type a sentence and press Enter; Ctrl-D ends.", quiet=quiet)
    return decode_lines(byte_lines(stream), "stdin"), not _is_file(stream)


def _is_file(stream: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # a stream without a file, in tests
        return False
