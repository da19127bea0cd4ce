"""`mtkit perplexity`: how probable a model finds given translations."""

from pathlib import Path

import click

from mtkit.cli.opening import find_model, pairs_of
from mtkit.cli.options import device_option, model_option, quiet_option, threads_option
from mtkit.log import say


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@model_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line, the total last.")
@device_option
@threads_option
@quiet_option
def perplexity(
    source: Path,
    target: Path,
    model: Path | None,
    as_json: bool,
    device: str,
    threads: int | None,
    quiet: bool,
) -> None:
    """Compute the log-probability of given translations.

    Line N of TARGET is scored as the translation of line N of SOURCE: log P(target | source) in nats, the
    end of the sentence included, as search computes it. Pairs with a blank side, or with one longer than the
    model has positions for, are left out and counted. The total, the mean per token and the perplexity follow
    on stderr.

    \b
    Formats:
      (default)  log-probability TAB target tokens
      --json     {line, source, target, log_probability, tokens}; last the
                 total with nats_per_token and perplexity

    \b
    Examples:
      mtkit perplexity --model runs/demo test.de test.en
      mtkit perplexity test.de test.en --json | tail -n 1
    """
    from mtkit.config.search import SearchSettings
    from mtkit.training.openmp import quiet_openmp
    from mtkit.translation.given import GivenTotal, score_given
    from mtkit.translation.translation import json_line
    from mtkit.translation.translator import Translator

    folder = find_model(model, quiet=quiet)
    pairs = pairs_of(source, target)
    quiet_openmp()
    plain = SearchSettings()  # nothing is searched
    translator = Translator.open(folder, plain, device, threads=threads)
    total = GivenTotal()
    for given in score_given(translator, pairs):
        total.add(given)
        if as_json:
            click.echo(json_line({"line": total.pairs, **given.record()}))
        elif given.log_probability is None:
            click.echo("\t0")
        else:
            click.echo(f"{given.log_probability:.4f}\t{given.tokens}")
    if as_json:
        click.echo(json_line(total.record()))
    say(total.line(), quiet=quiet)
