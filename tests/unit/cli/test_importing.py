"""Where `mtkit import` writes; what it makes is tested in tests/agreement/test_marian.py."""

from pathlib import Path
from types import SimpleNamespace

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.config.model import ModelSettings
from mtkit.errors import RecipeError, RunError
from mtkit.export import marian_import


def invoke(out: Path, *options: str) -> click.testing.Result:
    given = ["import", "marian", "theirs", str(out), "--quiet", *options]
    return click.testing.CliRunner().invoke(mtkit, given)


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where something was imported to, instead of importing it."""
    places: list[Path] = []

    def note(_folder: Path, out: Path, *_: object) -> SimpleNamespace:
        places.append(out)
        return SimpleNamespace(
            architecture=ModelSettings(), source_language="de", target_language="en", target_size=9
        )

    monkeypatch.setattr(marian_import, "import_marian", note)
    return places


def test_a_new_folder_and_an_empty_one_are_taken(imported: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        result = invoke(tmp_path / name)
        assert result.exit_code == 0, result.exception
    assert imported == [tmp_path / "new", tmp_path / "empty"]


def test_what_no_import_made_and_what_cannot_make_room_are_left_alone(
    imported: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out, told in (
        (tmp_path / "full", "something stands here"),
        (tmp_path / "full/mine", "something stands here"),
        (Path(), "cannot be put in its place in one move"),
    ):
        result = invoke(out)
        assert isinstance(result.exception, RunError) and told in str(result.exception)
    assert imported == []


@pytest.mark.parametrize("code", ["", "x x", "d\ne", "日本"])
def test_a_language_is_named_as_a_recipe_names_it(imported: list[Path], tmp_path: Path, code: str) -> None:
    result = invoke(tmp_path / "new", "--target", code)
    assert isinstance(result.exception, RecipeError)
    assert str(result.exception).startswith(f"--target: {code!r} names no language")
    assert invoke(tmp_path / "new", "--source", "pt_BR", "--target", "zh-Hans").exit_code == 0
    assert imported == [tmp_path / "new"]
