"""What the commands of `mtkit export` have in common: text to compare on, and what rounding may cost."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtkit.cli.options import FiniteRange
from mtkit.config.export import ExportSettings, Format
from mtkit.errors import RecipeError
from mtkit.log import say

if TYPE_CHECKING:
    from mtkit.export.probe import ProbeLine
    from mtkit.export.shortlist import Aligned

_FIELDS = ExportSettings.model_fields

probe_option = click.option(
    "--probe",
    type=click.Path(path_type=Path),
    metavar="STEM",
    help="Text to compare on: STEM.SOURCE and STEM.TARGET.  [default: the run's valid and test]",
)
probe_lines_option = click.option(
    "--probe-lines",
    type=click.IntRange(min=1),
    metavar="N",
    default=_FIELDS["probe_lines"].default,
    show_default=True,
    help="Lines of each text to compare on.",
)


def budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Loss of BLEU and chrF that is allowed."""
    for name, metric in (("chrf", "CHRF"), ("bleu", "BLEU")):
        command = click.option(
            f"--most-{name}-loss",
            type=FiniteRange(min=0),
            metavar=metric,
            help=f"What rounding may cost.  [default: {_FIELDS[f'most_{name}_loss'].default}]",
        )(command)
    return command


def settings_of(to: Format, given: dict[str, Any]) -> ExportSettings:
    """The settings of an export as options gave them.

    Raises:
        RecipeError: one of them has no effect.
    """
    settings = ExportSettings(to=to, **{name: value for name, value in given.items() if value is not None})
    for finding in settings.findings():
        raise RecipeError(
            finding.found,
            where=", ".join("--" + str(name).replace("_", "-") for name in finding.path),
            expected=finding.expected,
            advice=finding.advice,
        )
    return settings


def probe_of(folder: Path, stem: Path | None, most: int, *, quiet: bool) -> "list[ProbeLine]":
    """The lines to compare on: of a text that was named, or of the corpus behind a run's model; and odd ones.

    Args:
        folder: the model folder.
        stem: of the text; None: none was named.
        most: lines of each text.
        quiet: say nothing.
    """
    from mtkit.export.probe import corpus_lines, nasty_lines, stem_lines
    from mtkit.model.folder import read_card
    from mtkit.pipeline.run_model import corpus_behind

    if stem is not None:
        card = read_card(folder)
        return stem_lines(stem, card.source_language, card.target_language, most) + nasty_lines()
    corpus = corpus_behind(folder)
    if corpus is None:
        say("no corpus of a run beside this model: compared on odd lines alone", quiet=quiet)
        return nasty_lines()
    return corpus_lines(corpus, most) + nasty_lines()


def aligned_text(folder: Path, stem: Path | None) -> "Aligned | None":
    """What a shortlist is learnt from: a named text, or the corpus behind a run's model; None: nothing.

    Raises:
        DataError: as `count_pairs`, of a named text.
    """
    from mtkit.export.probe import count_pairs, paired_paths
    from mtkit.export.shortlist import corpus_pairs, stem_pairs
    from mtkit.model.folder import read_card
    from mtkit.pipeline.run_model import corpus_behind

    if stem is not None:
        card = read_card(folder)
        # now: it is read when the model has been converted
        count_pairs(paired_paths(stem, card.source_language, card.target_language))
        return partial(stem_pairs, stem, card.source_language, card.target_language, card.normalize)
    corpus = corpus_behind(folder)
    return None if corpus is None else partial(corpus_pairs, corpus)
