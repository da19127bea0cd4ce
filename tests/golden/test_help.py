"""Every help page, read in review. A new command is found by itself; its text is stored in `help/`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import click.testing
import pytest

from mtkit.cli.main import COMMANDS, mtkit

HELP = Path(__file__).parent / "help"
MOST_OPTIONS = 10  # a command with more needs a recipe
# what a stream of text needs differs from call to call and stands in no recipe
MORE_OPTIONS = {"translate": 23}
WIDTH = 100


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command, groups' commands included."""
    yield ()
    for verb in COMMANDS:
        yield (verb,)
        try:
            command = mtkit.get_command(click.Context(mtkit), verb)
        except ImportError:  # told by the test of that command
            continue
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command)):
                yield (verb, inner)


PAGES = sorted(commands())
every_page = pytest.mark.parametrize("words", PAGES, ids=lambda words: " ".join(("mtkit", *words)))


def page(words: tuple[str, ...]) -> str:
    result = click.testing.CliRunner().invoke(
        mtkit, [*words, "--help"], prog_name="mtkit", terminal_width=WIDTH, catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.stdout


@every_page
def test_a_help_page_is_as_it_was_read_in_review(
    words: tuple[str, ...], golden: Callable[[Path, str], None]
) -> None:
    golden(HELP / f"{'-'.join(('mtkit', *words))}.txt", page(words))


@every_page
def test_a_help_page_begins_with_a_sentence_and_shows_an_example(words: tuple[str, ...]) -> None:
    text = page(words)
    first = text.split("\n\n")[1].strip()
    assert first[0].isupper() and first[-1] in ".:", first
    assert "Example" in text
    assert f"mtkit {' '.join(words)}".rstrip() in text.split("Example")[1]


@every_page
def test_a_command_has_few_options_each_explained(words: tuple[str, ...]) -> None:
    command: click.Command = mtkit
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert len(options) <= MORE_OPTIONS.get(" ".join(words), MOST_OPTIONS)
    assert not [option.name for option in options if not option.help]


def test_no_help_page_is_kept_of_a_command_that_is_gone() -> None:
    names = {f"{'-'.join(('mtkit', *words))}.txt" for words in PAGES}
    assert {path.name for path in HELP.glob("*.txt")} <= names
