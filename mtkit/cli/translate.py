"""`mtkit translate`: lines of text from stdin to stdout; or a recipe up to its translations."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, get_args

import click

from mtkit import __version__
from mtkit.cli.delivery import ALL_STRICT, Stdout, Tally, check_output, deliver, strict_flags
from mtkit.cli.opening import find_model, given_on_command_line, refuse_text
from mtkit.cli.options import FiniteRange, device_option, engine_option, quiet_option, threads_option
from mtkit.cli.search_options import asked_for, models_option, search_options
from mtkit.cli.search_options import search_settings as settings_of
from mtkit.config.search import MOST_HYPOTHESES, MOST_PENALTY
from mtkit.errors import RecipeError
from mtkit.files import canonical_hash, lenient_lines, read_lines
from mtkit.log import say
from mtkit.translation.arrivals import byte_lines
from mtkit.translation.document import Document
from mtkit.translation.flags import HARMLESS_FLAGS
from mtkit.translation.formats import Format
from mtkit.translation.resuming import Unfinished

if TYPE_CHECKING:
    from mtkit.config.search import SearchSettings
    from mtkit.model.folder import ModelCard
    from mtkit.translation.translator import Translator


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@models_option
@click.option(
    "--input",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text to translate.  [default: stdin]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the translations.  [default: stdout]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="As --output, but continue a file that an interrupted run began.",
)
@click.option(
    "--beam-size",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Hypotheses followed at once; 1: greedy.  [default: the model's]",
)
@click.option(
    "--length-penalty",
    type=FiniteRange(0, MOST_PENALTY),
    metavar="ALPHA",
    help="0: none; more favours longer translations.  [default: the model's]",
)
@click.option(
    "--n-best",
    type=click.IntRange(1, MOST_HYPOTHESES),
    metavar="N",
    help="Write N translations of each line; at most the beam size.",
)
@click.option("--scores", is_flag=True, help="Put each translation's score and a tab in front of it.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
@click.option(
    "--document",
    is_flag=False,
    flag_value="wrapped",
    type=click.Choice(get_args(Document)),
    help="Translate by sentences; keep layout and blank lines. wrapped (without a value): lines of one"
    " paragraph are joined; paragraphs: every line is a paragraph.",
)
@click.option(
    "--strict",
    is_flag=False,
    flag_value=ALL_STRICT,
    metavar="FLAG,…",
    help="Exit with 5 after the last line if a translation has one of these flags; without a name:"
    f" any but {', '.join(HARMLESS_FLAGS)}.",
)
@search_options
@device_option
@engine_option
@threads_option
@quiet_option
def translate(recipe: Path | None, models: tuple[Path, ...], **options: Any) -> None:
    """Translate lines of text from stdin to stdout.

    Line N out is the translation of line N in, whatever is in it; a blank line gives an empty line. Each line
    is written as soon as it can be. A line too long for the model is translated in parts. What is known
    against a translation is a flag: counted on stderr, written by --json, asked for by --strict.

    With a RECIPE, runs it up to its translations instead; `mtkit run RECIPE --goal translate` does so with
    --set and --dry-run.

    \b
    Formats:
      (default)   translation
      --scores    score TAB translation
      --n-best N  rank TAB score TAB translation, N lines for each line
      --json      {line, source, translation, score, log_probability,
                  tokens, flags}; with --n-best also the list n_best;
                  with --document one object a block, with its lines;
                  with --token-scores pieces and
                  token_log_probabilities, with --alignment
                  source_pieces, alignment and attention as well

    A score is the log-probability in nats divided by the length penalty. Flags: empty, split, truncated,
    repeated, retried, copied, unknown, vanished, invented, broken, length_ratio, low_confidence,
    wrong_script, invalid_utf8 (docs/translating.md).

    \b
    Examples:
      mtkit translate < input.txt > output.txt
      echo "Good morning." | mtkit translate --n-best 3
      mtkit translate --model runs/demo --input input.txt --json
      mtkit translate --input long.txt --resume long.out --strict
      mtkit translate --set sampling.top_k=10 --n-best 5 < input.txt
      mtkit translate --set no_repeat_ngram=3 --target-prefix "Dear" < input.txt

    All that can be --set: `mtkit recipe explain translate`; what it is good for: docs/search.md.
    """
    chosen = Options(model=models[0] if models else None, others=models[1:], **options)
    if recipe is None:
        _translate_text(chosen)
    else:
        _translate_recipe(recipe, chosen)


@dataclass(frozen=True)
class Options:
    """The command's options, as its help explains them."""

    model: Path | None
    path: Path | None
    output: Path | None
    resume: Path | None
    beam_size: int | None
    length_penalty: float | None
    n_best: int | None
    scores: bool
    as_json: bool
    document: Document | None
    strict: str | None
    device: str
    engine: Literal["auto", "torch", "ctranslate2"]
    threads: int | None
    quiet: bool
    others: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()
    target_prefix: str = ""
    with_prefixes: bool = False
    token_scores: bool = False
    alignment: bool = False
    average: str | None = None
    rerank_by: Path | None = None
    rerank_weight: float | None = None

    @property
    def format(self) -> Format:
        """What is written."""
        return Format(self.scores, self.n_best, self.as_json)

    @property
    def unit(self) -> str:
        """What is translated as one text."""
        return "block" if self.document else "line"

    @property
    def file(self) -> Path | None:
        """Where translations are written; None: stdout."""
        file = self.resume or self.output
        return None if str(file) == "-" else file


def _translate_recipe(recipe: Path, options: Options) -> None:
    from mtkit.cli.run import run_recipe_to_kind

    refuse_text(
        recipe,
        f"To translate a text: `mtkit translate --input {recipe}` or `mtkit translate < {recipe}`.",
        "Without a recipe stdin is translated: `echo 'Good morning.' | mtkit translate`.",
    )
    flags = {
        "--model": options.model and given_on_command_line("models"),
        "--input": options.path,
        "--output": options.output,
        "--resume": options.resume,
        "--beam-size": options.beam_size,
        "--length-penalty": options.length_penalty is not None,  # 0 is one
        "--n-best": options.n_best,
        "--scores": options.scores,
        "--json": options.as_json,
        "--document": options.document,
        "--strict": options.strict is not None,
        "--engine": options.engine != "auto",
        "--set": options.overrides,
        "--target-prefix": options.target_prefix,
        "--with-prefixes": options.with_prefixes,
        "--token-scores": options.token_scores,
        "--alignment": options.alignment,
        "--average": options.average,
        "--rerank-by": options.rerank_by,
        "--rerank-weight": options.rerank_weight,
    }
    if named := ", ".join(flag for flag, value in flags.items() if value not in (None, False, (), "")):
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

    tally = Tally(strict_flags(options.strict), options.unit)
    _check_together(options)
    folder = find_model(options.model, quiet=options.quiet)
    card = read_card(folder)
    options = _found(options)
    settings = search_settings(card.decoding, options)
    lines, live = _input(options.path, quiet=options.quiet)
    check_output(None if str(options.path) == "-" else options.path, options.file)
    quiet_openmp()
    asked = asked_for(options, settings, folder)
    translator = Translator.open(
        folder,
        settings,
        options.device,
        threads=options.threads,
        engine=options.engine,
        say=partial(say, quiet=options.quiet),
        asked=asked,
    )
    try:
        _write(translator, card, lines, live and options.file is None, tally, options)
    except BrokenPipeError:
        raise
    except BaseException:
        say(tally.line(), quiet=options.quiet)
        raise
    say(tally.line(), quiet=options.quiet)
    tally.check(str(options.file or "stdout"))


def _found(options: Options) -> Options:
    """The options with the folders of all models but the first found."""
    others = tuple(find_model(other, quiet=options.quiet) for other in options.others)
    reverse = options.rerank_by and find_model(options.rerank_by, quiet=options.quiet)
    return replace(options, others=others, rerank_by=reverse)


def _write(
    translator: "Translator",
    card: "ModelCard",
    lines: Iterator[str],
    live: bool,
    tally: Tally,
    options: Options,
) -> None:
    from mtkit.translation.units import Units

    file = _file(translator, card, options)
    output = replace(options.format, is_noted=file is not None and file.is_noted)
    units = Units(lines, output, card.source_language, options.document)
    name = "stdin" if options.path is None or str(options.path) == "-" else options.path

    def place(unit: int) -> str:
        return f"{name}:{units.first_line(unit)}"

    try:
        sentences = options.document is not None
        with closing(translator.windows(units, live=live, sentences=sentences, place=place)) as windows:
            deliver(translator, units, windows, file or Stdout(), tally)
        if file is not None:
            file.finish()
    finally:
        if file is not None:
            file.close()


def _file(translator: "Translator", card: "ModelCard", options: Options) -> Unfinished | None:
    """The file that is written, or None for stdout."""
    from mtkit.model.folder import read_card

    if options.file is None:
        return None
    made_by = {
        "mtkit": __version__,
        "model": canonical_hash(card.files),
        "engine": type(translator.engine).__name__,
        "converted": translator.engine.certified,
        "device": translator.engine.device,
        "format": options.format.name,
        "document": options.document or False,
        "asked": [options.target_prefix, options.with_prefixes, options.token_scores, options.alignment],
        "models": [canonical_hash(read_card(other).files) for other in translator.asked.others],
        "average": options.average,
        "rerank": [
            None if options.rerank_by is None else canonical_hash(read_card(options.rerank_by).files),
            options.rerank_weight,
        ],
        "rerank engine": _reverse_engine(translator),
        **translator.settings.model_dump(mode="json"),
    }
    tell, resume = partial(say, quiet=options.quiet), options.resume is not None
    return Unfinished(options.file, made_by, tell, resume=resume, unit=options.unit)


def _reverse_engine(translator: "Translator") -> list[str] | None:
    """What runs the model to rerank by, and which converted files it computes with; None: there is none."""
    reverse = getattr(translator.asked.chooser, "reverse", None)
    return None if reverse is None else [type(reverse.engine).__name__, reverse.engine.certified]


def _check_together(options: Options) -> None:
    """Refuse options that contradict each other."""
    if str(options.resume) == "-":
        raise RecipeError(
            "nothing is known of what stdout has already",
            where="--resume -",
            expected="a file",
            advice="Name the file that was begun.",
        )
    if options.resume is not None and options.output not in (None, options.resume):
        raise RecipeError(
            f"translations would go to {options.output} and on in {options.resume}",
            where="--output, --resume",
            expected="one file",
            advice="Leave --output out: --resume writes to the file that it names.",
        )
    if options.document and options.with_prefixes:
        raise RecipeError(
            "given together with --document, which joins lines that run on",
            where="--with-prefixes",
            expected="a prefix for each line, or lines that belong together",
            advice="Leave one of them out; --target-prefix is how every block's translation begins.",
        )
    if options.document and not options.as_json and (options.scores or options.n_best is not None):
        raise RecipeError(
            f"{options.format.name} together with --document",
            where="--document",
            expected="plain text or --json: a block's translation may have several lines",
            advice="Add --json, which says the score of each block, or leave --document out.",
        )


def search_settings(card: "SearchSettings", options: Options) -> "SearchSettings":
    """The model's own search settings with those changed that were given.

    Raises:
        RecipeError: they do not fit together.
    """
    names = ("beam_size", "length_penalty", "n_best")
    chosen = {name: getattr(options, name) for name in names}
    return settings_of(card, chosen, options.overrides)


def _input(path: Path | None, *, quiet: bool) -> tuple[Iterator[str], bool]:
    """The lines to translate, and whether to translate what is there while more is awaited."""
    if path is not None and str(path) != "-":
        lines = read_lines(path, lenient=True)
        # the first line now, so that a file that cannot be read is told before the model is loaded
        return chain(list(islice(lines, 1)), lines), not path.is_file()
    stream = sys.stdin.buffer
    if stream.isatty():
        say("Type a sentence and press Enter; Ctrl-D ends.", quiet=quiet)
    return lenient_lines(byte_lines(stream), "stdin"), not _is_file(stream)


def _is_file(stream: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # a stream without a file, in tests
        return False
