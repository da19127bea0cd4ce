from collections.abc import Iterator

import click
import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.cli.options import FiniteRange
from mtkit.config.search import SearchSettings


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


@pytest.mark.parametrize("name", ["beam_size", "n_best", "length_penalty"])
def test_an_option_takes_no_more_than_the_setting_it_stands_for(name: str) -> None:
    kind = {named: one.type for named, one in options(mtkit)}[f"translate --{name.replace('_', '-')}"]
    assert isinstance(kind, (click.IntRange, click.FloatRange))
    most = kind.max
    assert most is not None
    SearchSettings.model_validate({name: most} | ({"sampling": {}} if name == "n_best" else {}))
    with pytest.raises(ValueError, match="less than or equal to"):
        SearchSettings.model_validate({name: most + 1})


def test_a_weight_that_leaves_no_number_of_a_score_is_refused() -> None:
    result = click.testing.CliRunner().invoke(mtkit, ["translate", "--rerank-weight", "1e308"])
    assert result.exit_code == 2
    assert "1e+308 is not in the range 0<x<=1000" in result.stderr


def test_threads_that_no_system_makes_are_refused() -> None:
    result = click.testing.CliRunner().invoke(mtkit, ["translate", "--threads", "100000"])
    assert result.exit_code == 2
    assert "Invalid value for '--threads': 100000 is not in the range 1<=x<=4096" in result.stderr


def test_bounds_hold_as_before() -> None:
    kind = FiniteRange(0, 1, min_open=True)
    assert kind.convert("0.5", None, None) == 0.5
    with pytest.raises(click.BadParameter, match="not in the range"):
        kind.convert("0", None, None)
