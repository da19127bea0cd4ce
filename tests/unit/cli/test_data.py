from pathlib import Path

import pytest
from click.testing import CliRunner

from mtkit.cli.main import mtkit
from mtkit.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


def test_list_marks_network_and_names_licences() -> None:
    lines = CliRunner().invoke(mtkit, ["data", "list"], catch_exceptions=False).stdout.splitlines()
    marked = {line.split()[0]: "network" in line.split() for line in lines[::2]}
    assert marked["homeassistant"] is False
    assert marked["multi30k"] is True
    assert marked["opus/CORPUS@VERSION"] is True
    assert any("Apache-2.0  (en, af, ar, bg, bn, bs and 58 more)" in line for line in lines)


def test_show_prints_a_card_to_stdout() -> None:
    result = CliRunner().invoke(mtkit, ["data", "show", "reverse"], catch_exceptions=False)
    assert "made up, nothing is fetched" in result.stdout


def test_get_writes_files_and_names_them_on_stdout(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(
        mtkit,
        ["data", "get", "starter", "--source", "en", "--target", "de", "--out", str(out)],
        catch_exceptions=False,
    )
    assert result.stdout.splitlines()[:2] == [str(out / "train.en"), str(out / "train.de")]
    assert "377 pairs read" in result.stderr
    assert len((out / "train.en").read_text("utf-8").splitlines()) == 317


def test_get_without_out_only_fills_the_cache() -> None:
    result = CliRunner().invoke(
        mtkit, ["data", "get", "starter", "--source", "en", "--target", "de"], catch_exceptions=False
    )
    assert result.stdout == ""
    assert "cached in" in result.stderr


def test_an_unknown_dataset_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(DataError, match="Did you mean 'starter'"):
        CliRunner().invoke(mtkit, ["data", "show", "startr"], catch_exceptions=False)


def test_a_misspelt_verb_of_data_is_refused() -> None:
    assert CliRunner().invoke(mtkit, ["data", "fetch"]).exit_code == 2
