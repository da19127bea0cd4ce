"""`mtkit score-pairs`: how well sentence pairs fit, as a model sees it; and the best of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mtkit.cli.opening import find_model, pairs_of, pairs_of_table
from mtkit.cli.options import FiniteRange, device_option, model_option, quiet_option, threads_option
from mtkit.errors import ModelError, RecipeError
from mtkit.log import say

if TYPE_CHECKING:
    from mtkit.translation.given import Given, Sides
    from mtkit.translation.translator import Translator


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path), required=False)
@model_option
@click.option(
    "--reverse",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Model of the other direction: score by both (dual conditional cross-entropy).",
)
@click.option(
    "--keep",
    type=FiniteRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Write no scores, but the best share of the pairs in their order: source TAB target.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write one JSON object a line, with the score of every piece."
)
@device_option
@threads_option
@quiet_option
def score_pairs(source: Path, target: Path | None, model: Path | None, **options: Any) -> None:
    """Score sentence pairs, or keep the best share of them.

    The pairs are lines of two files, or of one table: source TAB target. A pair's score is log P(target |
    source) of a token on average, in nats; with --reverse it is -(|A - B| + (A + B) / 2), where A and B are
    the nats per token of both directions. Higher is better. A pair with a blank side, with a side longer than
    the model was trained on, with bytes that are no UTF-8 or with a target that has characters which the
    model has no piece for, and a line of a table without a tab, has no score, is never kept, and is counted
    on stderr.

    \b
    Formats:
      (default)  score TAB log-probability TAB target tokens
      --json     {line, source, target, score, log_probability, tokens,
                 pieces, token_log_probabilities}; without a score
                 unscored: blank, too_long, unknown, invalid_utf8
                 or no_tab
      --keep     source TAB target

    \b
    Examples:
      mtkit score-pairs --model runs/demo train.de train.en > scores.txt
      mtkit score-pairs --model runs/demo noisy.tsv --keep 0.8 > clean.tsv
      paste noisy.de noisy.en | mtkit score-pairs - --json | tail -n 1
    """
    chosen = Options(**options)
    if chosen.keep is not None and chosen.as_json:
        raise RecipeError(
            "given together with --keep, which writes no scores",
            where="--json",
            expected="one of them",
            advice="Leave one of them out.",
        )
    from mtkit.training.openmp import quiet_openmp

    folder = find_model(model, quiet=chosen.quiet)
    pairs = _first_read(pairs_of_table(source) if target is None else pairs_of(source, target, lenient=True))
    quiet_openmp()
    scored = _scored(_open(folder, chosen), pairs, pieces=chosen.as_json)
    if chosen.keep is None:
        _write(scored, as_json=chosen.as_json, quiet=chosen.quiet)
    else:
        _write_best(list(scored), chosen.keep, quiet=chosen.quiet)


@dataclass(frozen=True)
class Options:
    """The command's options, as its help explains them."""

    reverse: Path | None
    keep: float | None
    as_json: bool
    device: str
    threads: int | None
    quiet: bool


class Scored(NamedTuple):
    """A pair and its score; None if it has none."""

    given: "Given"
    score: float | None


def _first_read(pairs: "Iterable[Sides]") -> "Iterator[Sides]":
    """The same, the first pair now: what cannot be read is told before the model is loaded."""
    rest = iter(pairs)
    return chain(list(islice(rest, 1)), rest)


def _open(folder: Path, options: Options) -> "list[Translator]":
    """The model, and that of the other direction if there is one."""
    from mtkit.config.search import SearchSettings
    from mtkit.model.folder import read_card
    from mtkit.translation.translator import Translator

    folders = [folder]
    if options.reverse is not None:
        folders.append(find_model(options.reverse, quiet=options.quiet))
        card, other = read_card(folder), read_card(folders[1])
        if (other.source_language, other.target_language) != (card.target_language, card.source_language):
            raise ModelError(
                f"it translates {other.source_language} to {other.target_language}",
                where=str(folders[1]),
                expected=f"a model from {card.target_language} to {card.source_language}",
                advice="Name a model of the other direction.",
            )
    plain = SearchSettings()  # nothing is searched
    return [Translator.open(one, plain, options.device, threads=options.threads) for one in folders]


def _scored(models: "list[Translator]", pairs: "Iterator[Sides]", *, pieces: bool) -> Iterator[Scored]:
    from mtkit.translation.given import beside, dual, score_given

    while window := list(islice(pairs, 1000)):
        forth = score_given(models[0], window, pieces=pieces, most_tokens=models[0].limit, only_known=True)
        if len(models) == 1:
            yield from (Scored(given, given.mean) for given in forth)
            continue
        turned = [(target, source) for source, target in window]
        back = score_given(models[1], turned, most_tokens=models[1].limit, only_known=True)
        for given, other in zip(forth, back, strict=True):
            yield Scored(beside(given, other), dual(given, other))


def _write(scored: Iterator[Scored], *, as_json: bool, quiet: bool) -> None:
    from mtkit.translation.given import GivenTotal
    from mtkit.translation.translation import json_line

    total = GivenTotal()
    for given, score in scored:
        total.add(given)
        if as_json:
            rounded = None if score is None else round(score, 6)
            why = {"unscored": given.unscored} if given.unscored is not None else {}
            click.echo(json_line({"line": total.pairs, "score": rounded, **given.record(), **why}))
        elif score is None:
            click.echo("\t\t0")
        else:
            click.echo(f"{score:.6f}\t{given.log_probability:.4f}\t{given.tokens}")
    say(total.line(), quiet=quiet)


def _write_best(scored: list[Scored], share: float, *, quiet: bool) -> None:
    """The best of all pairs; of equal scores the first."""
    from mtkit.translation.given import GivenTotal

    total = GivenTotal()
    for given, _ in scored:
        total.add(given)
    ranked = sorted(
        (-score, row) for row, (_, score) in enumerate(scored) if score is not None
    )  # [(how bad, row)]
    kept = sorted(row for _, row in ranked[: int(share * len(scored) + 1e-9)])
    for row in kept:
        source, target = scored[row].given.source, scored[row].given.target
        click.echo("\t".join(side.replace("\t", " ") for side in (source, target)))
    unscored = f"{len(scored) - len(ranked):,} without a score"
    if total.unscored:
        unscored += f" ({total.why_unscored()})"
    worst = f", the worst with a score of {-ranked[len(kept) - 1][0]:.4f}" if kept else ""
    say(f"{len(kept):,} of {len(scored):,} pairs kept{worst} · {unscored}", quiet=quiet)
