from collections.abc import Iterator

import click
import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.cli.options import FiniteRange


def options(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Parameter]]:
    """All options of a command and of those within it, by the words that lead there."""
    for parameter in command.params:
        yield " ".join([*words, *parameter.opts[:1]]), parameter
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                within = command.get_command(context, name)
                assert within is not None
                yield from options(within, (*words, name))


def test_no_option_takes_a_number_that_is_none() -> None:
    numbers = {name: one.type for name, one in options(mtkit) if one.type.name.startswith("float")}
    assert {"score-pairs --keep", "translate --rerank-weight", "translate --length-penalty"} <= set(numbers)
    assert [name for name, kind in numbers.items() if not isinstance(kind, FiniteRange)] == []


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_what_is_no_finite_number_is_refused_by_the_options_name(value: str) -> None:
    result = click.testing.CliRunner().invoke(mtkit, ["translate", "--rerank-weight", value])
    assert result.exit_code == 2
    assert f"Invalid value for '--rerank-weight': {value} is not a finite number." in result.stderr


def test_bounds_hold_as_before() -> None:
    kind = FiniteRange(0, 1, min_open=True)
    assert kind.convert("0.5", None, None) == 0.5
    with pytest.raises(click.BadParameter, match="not in the range"):
        kind.convert("0", None, None)
