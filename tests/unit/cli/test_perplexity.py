import json
import math
import shutil
from pathlib import Path

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.config.search import Mbr, Sampling, SearchSettings
from mtkit.errors import DataError
from mtkit.files import write_json, write_lines
from mtkit.model.folder import CARD, read_card


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    write_lines(tmp_path / "source", ["the lamp is on.", "", "the lamp is old."])
    write_lines(tmp_path / "target", ["the lamp is off.", "x", "lamp"])
    return [str(tmp_path / "source"), str(tmp_path / "target")]


def invoke(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, ["perplexity", *map(str, arguments)])


def test_each_pair_has_a_line_and_the_total_fits(tiny_model: Path, files: list[str]) -> None:
    result = invoke("--model", tiny_model, *files)
    assert result.exit_code == 0, result.exception
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[1] == ["", "0"]
    assert all(float(rows[row][0]) < 0 for row in (0, 2))
    assert "3 sentences (1 with a blank side left out)" in result.stderr


def test_json_ends_with_the_total(tiny_model: Path, files: list[str]) -> None:
    result = invoke("--model", tiny_model, "--json", "--quiet", *files)
    *records, total = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3]
    assert records[1]["log_probability"] is None
    assert total["log_probability"] == pytest.approx(
        records[0]["log_probability"] + records[2]["log_probability"], abs=1e-4
    )
    assert total["tokens"] == records[0]["tokens"] + records[2]["tokens"]
    assert total["perplexity"] == pytest.approx(
        math.exp(-total["log_probability"] / total["tokens"]), rel=1e-4
    )
    assert result.stderr == ""


def test_unequal_files_are_refused_before_the_model_is_loaded(tiny_model: Path, files: list[str]) -> None:
    write_lines(Path(files[1]), ["one"])
    result = invoke("--model", tiny_model, *files)
    assert isinstance(result.exception, DataError)
    assert "3 and 1 lines" in str(result.exception)


def test_a_dash_is_stdin(tiny_model: Path, files: list[str]) -> None:
    source, target = files
    arguments = ["perplexity", "--model", str(tiny_model), source, "-"]
    result = click.testing.CliRunner().invoke(mtkit, arguments, input=Path(target).read_bytes())
    assert result.stdout == invoke("--model", tiny_model, *files).stdout


@pytest.mark.parametrize(
    "own", [SearchSettings(sampling=Sampling(), mbr=Mbr()), SearchSettings(suppress_pieces=["not a piece"])]
)
def test_how_a_model_searches_itself_does_not_matter(
    tiny_model: Path, files: list[str], tmp_path: Path, own: SearchSettings
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    write_json(other / CARD, read_card(tiny_model).model_copy(update={"decoding": own}).written())
    assert invoke("--model", other, *files).stdout == invoke("--model", tiny_model, *files).stdout != ""
