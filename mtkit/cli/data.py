"""`mtkit data list|show|get`: which datasets there are, what a card says, the pairs as files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtkit.config.dataset import DatasetCard

SHOWN_LANGUAGES = 6


@click.group()
def data() -> None:
    """List, show and fetch datasets.

    A dataset is a card (a YAML file, see data/README.md) that says what a corpus is, under which licence,
    where it comes from and how its pairs are read. Archives are checked against their SHA-256 and cached
    (MTKIT_CACHE, or this user's cache folder); nothing in them is ever run.

    \b
    Examples:
      mtkit data list
      mtkit data show homeassistant
      mtkit data get homeassistant --source en --target de --out corpus
    """


@data.command("list")
def list_command() -> None:
    """List every dataset: name, licence, languages, what it is.

    `network` marks those that come from a public address; the others need the package index at most.

    \b
    Examples:
      mtkit data list
    """
    from mtkit.corpus.cards import all_cards

    cards = all_cards()
    width = max(len(_called(card)) for card in cards)
    for card in cards:
        mark = "network" if card.network else ""
        click.echo(f"{_called(card):{width}}  {mark:7}  {card.licence}  ({_languages(card)})")
        click.echo(f"{'':{width}}           {card.about}")


def _called(card: "DatasetCard") -> str:
    """The name as one writes it, with its parameters' names."""
    return card.name + ("/" + "@".join(word.upper() for word in card.parameters) if card.parameters else "")


def _languages(card: "DatasetCard") -> str:
    if "*" in card.languages:
        return "any language"
    more = len(card.languages) - SHOWN_LANGUAGES
    return ", ".join(card.languages[:SHOWN_LANGUAGES]) + (f" and {more} more" if more > 0 else "")


@data.command("show")
@click.argument("name", metavar="NAME")
def show(name: str) -> None:
    """Show the dataset NAME: its card, and what of it is cached.

    Nothing is fetched.

    \b
    Examples:
      mtkit data show homeassistant
      mtkit data show opus/Books@v1
    """
    from mtkit.corpus.card_view import card_lines

    for line in card_lines(name):
        click.echo(line)


@data.command("get")
@click.argument("name", metavar="NAME")
@click.option("--source", required=True, metavar="LANGUAGE", help="Source language, for example en.")
@click.option("--target", required=True, metavar="LANGUAGE", help="Target language, for example de.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    help="Folder for the files; left out: the dataset is only fetched into the cache.",
)
def get(name: str, source: str, target: str, out: Path | None) -> None:
    """Fetch the dataset NAME and write its splits as text files, one sentence a line.

    Writes train, valid and test with the language as ending (train.en, train.de, ...), those that the
    dataset has; their paths go to stdout. What is cached is not fetched again.

    \b
    Examples:
      mtkit data get homeassistant --source en --target de --out corpus
      mtkit data get opus/Books@v1 --source en --target fr --out books
    """
    from mtkit.corpus.cards import find_card_with_folder
    from mtkit.corpus.datasets import export, prepare
    from mtkit.log import say

    folder = prepare(find_card_with_folder(name), source, target, say)
    if out is None:
        say(f"cached in {folder}")
        return
    for path in export(folder, out, source, target):
        click.echo(path)
