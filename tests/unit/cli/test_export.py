"""`mtkit export`, and translating with what it made."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.errors import DataError, ModelError, RecipeError, RunError
from mtkit.export import convert, proof
from mtkit.files import read_lines, write_json
from mtkit.translation.resuming import NOTE_FORMAT, note_of

TEXT = "abc\n\nfed\nabcdefabcdefabcdefabcdef\n"
PROBE = """
import json, sys
sys.argv = ["mtkit", *sys.argv[1:]]
from mtkit.cli.main import main
main()
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


# what one line does not wait for: training, what reads recipes, what guesses at misspelt words
HEAVY = (
    *("torch", "numpy", "polars", "transformers", "sacrebleu", "rich", "sentencex"),
    *("ctranslate2.specs", "ctranslate2.converters", "yaml", "difflib", "gzip", "mtkit.config.checking"),
    *("pydantic", "filelock"),
)
MOST_MODULES = 350  # counted: 276, with Python 3.11


def invoke(*arguments: str | Path, text: str = "") -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, [*map(str, arguments)], input=text)


@pytest.fixture
def model(reversing_model: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own."""
    return copytree(reversing_model, tmp_path / "model")


@pytest.fixture
def exported(model: Path, toy: Path, tmp_path: Path) -> Path:
    for name, side in (("letters", "source"), ("reversed", "target")):
        copy = tmp_path / f"text.{name}"
        copy.write_bytes((toy / "corpus" / f"test.{side}").read_bytes())
    result = invoke("export", "ctranslate2", model, "--probe", tmp_path / "text", "--quiet")
    assert result.exit_code == 0, result.exception
    assert result.stdout == result.stderr == ""
    return model


def test_what_was_exported_translates_the_same_without_torch(exported: Path) -> None:
    ours = invoke("translate", "--model", exported, "--engine", "torch", "--quiet", text=TEXT)
    assert ours.exit_code == 0, ours.exception
    found = subprocess.run(
        [sys.executable, "-c", PROBE, "translate", "--model", str(exported), "--quiet"],
        input=TEXT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == ours.stdout
    modules = json.loads(found.stderr)
    assert "ctranslate2" in modules
    assert not {"torch", "polars", "sacrebleu", "rich", "ctranslate2.specs"}.intersection(modules)


def test_one_line_waits_for_nothing_that_others_need(exported: Path) -> None:
    options = ["--model", str(exported), "--quiet", "--beam-size", "2"]
    found = subprocess.run(
        [sys.executable, "-c", PROBE, "translate", *options],
        input="abc\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.count("\n") == 1
    modules = json.loads(found.stderr)
    assert "ctranslate2" in modules
    assert not [name for name in HEAVY if name in modules]
    assert len(modules) < MOST_MODULES


def test_one_line_says_what_was_compared(model: Path) -> None:
    result = invoke("export", "ctranslate2", model)
    assert result.exit_code == 0, result.exception
    assert "no corpus of a run beside this model" in result.stderr
    assert "probe lines alike, token for token" in result.stderr
    assert (model / "ctranslate2" / "certificate.json").is_file()


def test_a_damaged_conversion_is_told_with_a_way_out(exported: Path) -> None:
    binary = exported / "ctranslate2" / "model.bin"
    binary.write_bytes(binary.read_bytes()[:-1])
    result = invoke("translate", "--model", exported, text=TEXT)
    assert isinstance(result.exception, ModelError)
    assert "not the one that was certified" in str(result.exception)
    assert "or delete ctranslate2/: torch computes without it" in str(result.exception)
    shutil.rmtree(exported / "ctranslate2")
    assert invoke("translate", "--model", exported, text=TEXT).exit_code == 0


def test_the_engine_that_is_wished_for_must_be_there(reversing_model: Path) -> None:
    result = invoke("translate", "--model", reversing_model, "--engine", "ctranslate2", text=TEXT)
    assert isinstance(result.exception, ModelError)
    assert "has not been converted" in str(result.exception)


def test_a_stored_stage_is_never_changed(model: Path) -> None:
    write_json(model.parent / "stage.json", {})
    result = invoke("export", "ctranslate2", model)
    assert isinstance(result.exception, RunError)
    assert not (model / "ctranslate2").exists()


def test_a_model_folder_that_takes_no_files_is_told_before_the_work(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(proof, "mkdtemp", refuse)
    monkeypatch.setattr(convert, "convert", lambda *_, **__: pytest.fail("begun"))
    result = invoke("export", "ctranslate2", model)
    assert isinstance(result.exception, RunError) and "permission denied" in str(result.exception)


def test_an_option_without_effect_is_refused(model: Path) -> None:
    result = invoke("export", "ctranslate2", model, "--most-bleu-loss", "1")
    assert isinstance(result.exception, RecipeError)
    assert "--most-bleu-loss" in str(result.exception)


def test_a_run_brings_its_own_held_out_text(model: Path, toy: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    copytree(model, runs / "demo" / "model")
    copytree(model, runs / "store" / "train-1" / "model")
    copytree(toy / "corpus", runs / "store" / "corpus-1")
    noted = {
        "corpus": {"kind": "corpus", "folder": "corpus-1", "finished": "1", "reads": {}},
        "train": {"kind": "train", "folder": "train-1", "finished": "2", "reads": {"corpus": "corpus"}},
    }
    write_json(runs / "demo" / "manifest.json", {"stages": noted})
    result = invoke("export", "ctranslate2", runs / "demo", "--probe-lines", "7")
    assert result.exit_code == 0, result.exception
    certificate = json.loads((runs / "demo/model/ctranslate2/certificate.json").read_text("utf-8"))
    assert certificate["probe"] == {"valid": 7, "test": 7, "nasty": certificate["probe"]["nasty"]}
    assert certificate["scores"]["chrf"]["torch"] == certificate["scores"]["chrf"]["converted"]
    assert len(list(read_lines(toy / "corpus" / "test.source"))) > 7


def test_a_shortlist_is_learnt_from_a_named_text_and_used_by_translate(
    model: Path, toy: Path, tmp_path: Path
) -> None:
    for name, side in (("letters", "source"), ("reversed", "target")):
        (tmp_path / f"text.{name}").write_bytes((toy / "corpus" / f"train.{side}").read_bytes())
    text = tmp_path / "text"
    words = ("export", "ctranslate2", model, "--probe", text, "--quiet", "--most-bleu-loss", "100")
    result = invoke(*words, "--most-chrf-loss", "100", "--shortlist", "6", "--shortlist-text", text)
    assert result.exit_code == 0, result.exception
    plain = invoke("translate", "--model", model, "--quiet", text=TEXT)
    assert plain.exit_code == 0, plain.exception
    known = invoke("translate", "--model", model, "--quiet", "--json", text=TEXT)
    found = [json.loads(line) for line in known.stdout.splitlines()]
    assert [one["translation"] for one in found] == plain.stdout.splitlines()
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{one['source']}\t{one['translation']}\n" for one in found[:1] + found[2:3]))
    scored = invoke("score-pairs", "--model", model, "--quiet", pairs)
    assert scored.exit_code == 0, scored.exception
    exact = [float(line.split("\t")[1]) for line in scored.stdout.splitlines()]
    assert [found[n]["log_probability"] for n in (0, 2)] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize(
    "sides",
    [{}, {"letters": "abc\n"}, {"letters": "abc\nfed\n", "reversed": "cba\n"}],
    ids=["none", "one side", "sides of two lengths"],
)
def test_a_text_that_no_shortlist_can_be_learnt_from_is_told_before_the_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sides: dict[str, str]
) -> None:
    for name, text in sides.items():
        (tmp_path / f"text.{name}").write_text(text)
    monkeypatch.setattr(convert, "convert", lambda *_, **__: pytest.fail("begun"))
    words = ("export", "ctranslate2", model, "--shortlist", "6", "--shortlist-text", tmp_path / "text")
    result = invoke(*words)
    assert isinstance(result.exception, DataError)
    assert str(tmp_path / "text.") in result.exception.where


def test_options_of_a_shortlist_that_is_not_asked_for_are_refused(model: Path) -> None:
    result = invoke("export", "ctranslate2", model, "--shortlist-text", "text")
    assert isinstance(result.exception, RecipeError)
    assert "no effect without --shortlist" in str(result.exception)


def test_a_model_without_text_beside_it_has_no_shortlist(model: Path) -> None:
    result = invoke("export", "ctranslate2", model, "--shortlist", "5")
    assert isinstance(result.exception, RunError)
    assert "--shortlist-text STEM" in str(result.exception)


def test_what_another_export_of_the_model_has_written_is_not_gone_on_with(
    exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (tmp_path / "text").write_text(TEXT)
    out.write_text("cba\n")
    note_of(out).write_text(json.dumps({"format": NOTE_FORMAT, "made_by": {"converted": "0" * 64}}) + "\n")
    words = ("translate", "--model", exported, "--quiet", "--input", tmp_path / "text")
    result = invoke(*words, "--resume", out)
    assert "another conversion of the model" in str(result.exception)
    assert out.read_text() == "cba\n"
