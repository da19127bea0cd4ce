import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.config.scoring import Confidence
from mtkit.errors import DataError, RecipeError
from mtkit.files import write_json, write_lines
from mtkit.scoring.metrics import score

REFERENCE = ["The light is on.", "Choose a device to add.", "The password is wrong.", "Save"] * 10
GOOD = [line.replace("Choose", "Select") for line in REFERENCE]
BAD = [line.replace("The", "This") for line in GOOD]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {"reference": REFERENCE, "good": GOOD, "bad": BAD, "short": GOOD[1:], "tokens": ["A , b ."] * 40}
    for name, lines in texts.items():
        write_lines(tmp_path / name, lines)
    return {name: str(tmp_path / name) for name in texts}


def invoke(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, ["score", *arguments])


def test_one_system_gets_scores_with_signatures(files: dict[str, str]) -> None:
    result = invoke("--reference", files["reference"], "--system", files["good"])
    assert result.stdout.splitlines() == [
        score(GOOD, REFERENCE, metric).line() for metric in ("bleu", "chrf")
    ]
    assert result.stderr == ""


def test_metric_confidence_and_json_are_heeded(files: dict[str, str]) -> None:
    result = invoke(
        "--reference", files["reference"], "--reference", files["good"], "--system", files["bad"],
        "--metric", "ter", "--confidence", "50", "--json",
    )  # fmt: skip
    (record,) = json.loads(result.stdout)
    assert record["metric"] == "ter"
    assert record["sentences"] == 40
    assert "nrefs:2" in record["signature"] and "bs:50" in record["signature"]
    assert record["confidence"][0] < record["value"] < record["confidence"][1]


def test_several_systems_are_compared_with_the_first(files: dict[str, str]) -> None:
    arguments = ["--reference", files["reference"], "--system", files["good"], "--system", files["bad"]]
    table = invoke(*arguments, "--metric", "bleu", "--confidence", "50").stdout
    assert files["good"] in table and files["bad"] in table
    assert "50 resamples, seed 12345" in table
    document = json.loads(invoke(*arguments, "--metric", "bleu", "--confidence", "50", "--json").stdout)
    assert document["baseline"] == files["good"]
    assert [row["p_value"] is None for row in document["scores"]] == [True, False]


def test_tokenised_text_is_noticed(files: dict[str, str]) -> None:
    result = invoke("--reference", files["reference"], "--system", files["tokens"])
    assert f"{files['tokens']} looks tokenised" in result.stderr
    assert files["reference"] not in result.stderr


def test_unequal_files_name_the_file_and_both_counts(files: dict[str, str]) -> None:
    result = invoke("--reference", files["reference"], "--system", files["short"])
    assert isinstance(result.exception, DataError)
    assert f"{files['short']}: 39 sentences, but the reference has 40" in str(result.exception)


def test_a_file_named_twice_is_refused(files: dict[str, str]) -> None:
    result = invoke("--reference", files["reference"], "--system", files["good"], "--system", files["good"])
    assert isinstance(result.exception, RecipeError)


def test_without_files_or_recipe_the_usage_is_shown() -> None:
    result = invoke("--metric", "bleu")
    assert result.exit_code == 2
    assert "--reference and --system are needed" in result.stderr


def test_a_recipe_is_run_up_to_its_scores_which_are_shown_even_if_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = score(GOOD, REFERENCE, "bleu", Confidence(resamples=20))
    write_json(tmp_path / "scores.json", [{**asdict(stored), "split": "test", "sentences": 40}])
    stages = [SimpleNamespace(name="translate", kind="translate", folder=tmp_path / "none")]
    stages.append(SimpleNamespace(name="final", kind="score", folder=tmp_path))
    asked: list[Any] = []

    def run(*found: Any) -> Any:
        asked.append(found)
        return SimpleNamespace(stages=stages)

    monkeypatch.setattr("mtkit.cli.run.run_recipe_to_kind", run)
    assert invoke("recipe.yaml").stdout == f"final, test: {stored.line()}\n"
    assert json.loads(invoke("recipe.yaml", "--json").stdout)["final"][0]["value"] == stored.value
    assert asked == [(Path("recipe.yaml"), "score")] * 2
    assert isinstance(invoke("recipe.yaml", "--metric", "bleu").exception, RecipeError)


def test_the_target_language_reaches_one_system_and_several(files: dict[str, str]) -> None:
    asked = ["--reference", files["reference"], "--system", files["good"], "--target-language", "zh"]
    assert "tok:zh" in invoke(*asked).stdout
    assert "tok:zh" in invoke(*asked, "--system", files["bad"], "--confidence", "10").stdout
    assert isinstance(invoke("recipe.yaml", "--target-language", "zh").exception, RecipeError)


def test_a_dash_is_stdin(files: dict[str, str]) -> None:
    arguments = ["score", "--reference", files["reference"], "--system", "-"]
    text = Path(files["good"]).read_bytes()
    result = click.testing.CliRunner().invoke(mtkit, arguments, input=text)
    assert result.stdout == invoke("--reference", files["reference"], "--system", files["good"]).stdout
