import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mtkit.cli.main import mtkit
from mtkit.errors import RecipeError

GOOD = """\
recipe: tiny
about: tiny
source: de
target: en
stages:
  corpus: {train: {dataset: texts}}
  subword: {pieces: 300}
  train: {until: {updates: 9000}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD, encoding="utf-8")
    Path("bad.yaml").write_text(GOOD.replace("pieces", "peices"), encoding="utf-8")
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(mtkit, ["recipe", *arguments])


def test_check_says_what_would_run_in_which_order(folder: Path) -> None:
    result = invoke("check", "good.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "good.yaml: no problems in 3 stages: corpus → subword → train\n"


def test_check_goes_on_after_a_bad_recipe_and_ends_with_its_exit_code(folder: Path) -> None:
    result = invoke("check", "bad.yaml", "good.yaml", "none.yaml")
    assert result.exit_code == 2
    assert "Did you mean 'pieces'?" in result.stderr
    assert "error: none.yaml: no such file" in result.stderr
    assert result.stdout.startswith("good.yaml: no problems")


def test_check_takes_overrides(folder: Path) -> None:
    result = invoke("check", "good.yaml", "--set", "stages.train.model.heads=3")
    assert result.exit_code == 2
    assert "3 heads do not divide the width 256" in result.stderr


def test_show_prints_a_recipe(folder: Path) -> None:
    shown = invoke("show", "good.yaml", "--set", "seed=3")
    assert "seed: 3" in shown.stdout
    Path("shown.yaml").write_text(shown.stdout, encoding="utf-8")
    assert (
        invoke("diff", "shown.yaml", "good.yaml", "--set", "seed=3").stdout == "The settings are the same.\n"
    )


def test_diff_lists_what_differs(folder: Path) -> None:
    result = invoke("diff", "good.yaml", "good.yaml", "--set", "stages.train.model.dropout=0.5")
    assert result.stdout == "stages.train.model.dropout  0.1 (default)  →  0.5 (--set)\n"


def test_explain_lists_and_refuses(folder: Path) -> None:
    assert "default   4" in invoke("explain", "train.model.heads").stdout
    assert isinstance(invoke("explain", "train.model.haeds").exception, RecipeError)


def test_schema_is_json_for_all_kinds(folder: Path) -> None:
    schema = json.loads(invoke("schema").stdout)
    assert set(schema["properties"]["stages"]["properties"]) >= {
        "corpus",
        "subword",
        "train",
        "translate",
        "score",
    }


def test_list_names_every_shipped_recipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtkit.config.sources.shipped", lambda _: folder)
    result = invoke("list")
    assert result.stdout == "bad   tiny\ngood  tiny\n"


def test_check_imports_none_of_the_heavy_libraries(folder: Path) -> None:
    code = (
        "import sys\nfrom mtkit.cli.recipe import recipe\n"
        "recipe(['check', 'good.yaml'], standalone_mode=False)\n"
        "print(sorted({'torch', 'rich', 'polars', 'numpy', 'sentencepiece', 'sacrebleu'} & set(sys.modules)))"
    )
    package = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": package}
    )
    assert done.stdout.split("\n")[1] == "[]"


@pytest.mark.parametrize("name", ["check", "show", "diff", "explain", "schema", "list"])
def test_every_help_text_is_a_sentence_with_examples(name: str) -> None:
    text = invoke(name, "--help").stdout
    assert "Examples:" in text
    assert f"mtkit recipe {name}" in text
