import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import pytest

from mtkit.cli.delivery import strict_flags
from mtkit.cli.main import mtkit
from mtkit.cli.opening import refuse_text
from mtkit.cli.translate import Options, search_settings
from mtkit.config.search import SearchSettings
from mtkit.errors import DataError, FlagError, ModelError, RecipeError
from mtkit.files import read_json, write_json, write_lines
from mtkit.translation.resuming import Unfinished, note_of

ODD = "first\n\n \t\ncar\rriage\nu\u2028sep \u0085 \x0c\x00 nul\n" + "very long words " * 650 + "\nlast"
UNSET = ("model", "path", "output", "resume", "beam_size", "length_penalty", "n_best", "strict", "threads")
NOTHING: dict[str, Any] = dict.fromkeys(UNSET)
OPTIONS = {
    **NOTHING, "scores": False, "as_json": False, "document": None, "device": "cpu", "engine": "auto",
    "quiet": True,
}  # fmt: skip


def invoke(*arguments: str | Path, text: str | bytes = "") -> click.testing.Result:
    runner = click.testing.CliRunner()
    return runner.invoke(mtkit, ["translate", *map(str, arguments)], input=text, catch_exceptions=True)


def test_line_n_out_is_the_translation_of_line_n_in(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, text=ODD)
    assert result.exit_code == 0, result.output
    lines = result.stdout.split("\n")
    assert len(lines) == 7 + 1 and lines[-1] == ""
    assert lines[1] == lines[2] == ""
    assert lines[0] and lines[3] and lines[6]
    assert "7 lines in" in result.stderr
    assert "2 empty · 1 split" in result.stderr


def test_a_file_and_stdin_give_the_same(tiny_model: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "input", ["one", "", "the lamp is on."])
    from_file = invoke("--model", tiny_model, "--input", tmp_path / "input", "--quiet")
    from_stdin = invoke("--model", tiny_model, "--quiet", text="\ufeffone\n\nthe lamp is on.")
    assert from_file.stdout == from_stdin.stdout
    assert from_file.stdout.count("\n") == 3
    assert from_file.stderr == from_stdin.stderr == ""


def test_json_is_one_object_a_line(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--json", "--n-best", "2", text="the lamp\n\nx\u2028y")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3]
    assert [record["source"] for record in records] == ["the lamp", "", "x\u2028y"]
    assert records[1]["flags"] == ["empty"]
    assert len(records[0]["n_best"]) == 2
    assert records[0]["n_best"][0]["translation"] == records[0]["translation"]
    assert records[0]["n_best"][0]["score"] >= records[0]["n_best"][1]["score"]


def test_n_best_gives_exactly_n_lines_for_each(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--n-best", "2", text="the lamp\n\nis off")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1", "2"] * 3
    assert float(rows[0][1]) >= float(rows[1][1])
    assert rows[3] == ["2", "", ""]


def test_scores_stand_before_the_translation(tiny_model: Path) -> None:
    plain = invoke("--model", tiny_model, text="the lamp").stdout
    score, text = invoke("--model", tiny_model, "--scores", text="the lamp").stdout.split("\t")
    assert text == plain
    assert float(score) < 0


def test_invalid_utf8_is_replaced_and_told(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--json", text=b"the lamp\nis\n\xff on\nafter \xed\xa0\x80\xc3")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["source"] for record in records] == [
        "the lamp",
        "is",
        "\ufffd on",
        "after " + "\ufffd" * 4,
    ]
    assert ["invalid_utf8" in record["flags"] for record in records] == [False, False, True, True]
    assert "2 invalid_utf8" in result.stderr


def test_utf16_is_refused_because_every_line_would_be_wrong(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, text="the lamp\n".encode("utf-16"))
    assert isinstance(result.exception, DataError)
    assert "UTF-16" in str(result.exception)
    assert result.stdout == ""


def test_strict_writes_everything_and_then_ends_with_5(tiny_model: Path) -> None:
    arguments = ("--model", tiny_model)
    text = b"the lamp\n\n\xff on\nis \xfe\n"
    plain, strict = (
        invoke(*arguments, text=text),
        invoke(*arguments, "--strict=invalid_utf8, vanished", text=text),
    )
    assert strict.stdout == plain.stdout
    assert isinstance(strict.exception, FlagError) and strict.exception.exit_code == 5
    assert "2 invalid_utf8 (line 3, 4)" in str(strict.exception)
    harmless = invoke(*arguments, "--strict=split", text=text)
    assert harmless.exit_code == 0, harmless.exception


def test_strict_alone_allows_what_does_no_harm() -> None:
    assert strict_flags("all").isdisjoint({"empty", "split", "retried"})
    assert strict_flags("all") >= {"truncated", "repeated", "wrong_script", "invalid_utf8"}
    assert strict_flags(None) == frozenset()
    with pytest.raises(RecipeError, match="'truncate' is no flag"):
        strict_flags("truncate")


@pytest.mark.parametrize("given", ["", " ", ","])
def test_strict_with_nothing_named_is_refused(tiny_model: Path, given: str) -> None:
    with pytest.raises(RecipeError, match="names no flag"):
        strict_flags(given)
    result = invoke("--model", tiny_model, f"--strict={given}")
    assert isinstance(result.exception, RecipeError)
    assert result.stdout == ""


def test_no_input_gives_no_output(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, text="")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 lines" in result.stderr


def test_the_model_comes_from_the_environment(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_MODEL", str(tiny_model))
    assert invoke(text="the lamp").exit_code == 0


def test_else_the_newest_finished_run_is_taken_and_said(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTKIT_MODEL", raising=False)
    without = invoke(text="the lamp")
    assert isinstance(without.exception, ModelError)
    assert "no finished run under ./runs" in str(without.exception)
    for name, finished in (("older", "2026-01-01"), ("newer", "2026-02-02"), ("oldest", "2025-12-31")):
        (tmp_path / "runs" / "store" / f"train-{name}").mkdir(parents=True)
        (tmp_path / "runs" / "store" / f"train-{name}" / "model").symlink_to(tiny_model)
        noted = {"kind": "train", "folder": f"train-{name}", "finished": finished}
        write_json(tmp_path / "runs" / name / "manifest.json", {"stages": {"train": noted}})
    result = invoke(text="the lamp")
    assert result.exit_code == 0, result.exception
    assert "(newest finished run: newer)" in result.stderr


def test_a_damaged_model_is_refused_before_anything_is_written(tiny_model: Path, tmp_path: Path) -> None:
    card = read_json(tiny_model / "model.json")
    write_json(tmp_path / "model.json", {**card, "format": 99})
    result = invoke("--model", tmp_path, text="the lamp")
    assert isinstance(result.exception, ModelError)
    assert result.stdout == ""


def test_options_change_the_models_own_search() -> None:
    card = SearchSettings(beam_size=4, length_penalty=0.8, max_length_extra=9)
    chosen = search_settings(card, Options(**{**OPTIONS, "beam_size": 7}))
    assert chosen == SearchSettings(beam_size=7, length_penalty=0.8, max_length_extra=9)
    greedy = search_settings(card, Options(**{**OPTIONS, "beam_size": 1}))
    assert greedy.beam_size == 1


def test_a_models_own_search_needs_no_option_to_be_right() -> None:
    greedy = SearchSettings(beam_size=1)
    assert search_settings(greedy, Options(**OPTIONS)) == greedy
    several = SearchSettings(beam_size=6, n_best=4)
    assert search_settings(several, Options(**{**OPTIONS, "beam_size": 2})).n_best == 2


def test_options_that_do_not_fit_are_told_by_their_names() -> None:
    with pytest.raises(RecipeError, match="--n-best: 9 best of a beam of 5"):
        search_settings(SearchSettings(), Options(**{**OPTIONS, "n_best": 9}))
    with pytest.raises(RecipeError, match="--length-penalty"):
        search_settings(SearchSettings(), Options(**{**OPTIONS, "beam_size": 1, "length_penalty": 0.5}))


def test_options_for_text_do_not_go_with_a_recipe(tiny_model: Path, tmp_path: Path) -> None:
    result = invoke(tmp_path / "recipe.yaml", "--model", tiny_model, "--json", "--beam-size", "2")
    assert isinstance(result.exception, RecipeError)
    assert "--model, --beam-size, --json together with a recipe" in str(result.exception)
    result = invoke(tmp_path / "recipe.yaml", "--length-penalty", "0")
    assert "--length-penalty together with a recipe" in str(result.exception)
    result = invoke(tmp_path / "recipe.yaml", "--strict=")
    assert isinstance(result.exception, RecipeError)
    assert "--strict together with a recipe" in str(result.exception)


def test_a_recipe_is_run_up_to_its_translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(path: Path, kind: str, **options: Any) -> Any:
        asked.append((path, kind, options))
        return SimpleNamespace(stages=[SimpleNamespace(name="test", kind=kind, folder=Path("store"))])

    monkeypatch.setenv("MTKIT_MODEL", "somewhere")
    monkeypatch.setattr("mtkit.cli.run.run_recipe_to_kind", run)
    result = invoke(tmp_path / "recipe.yaml", "--threads", "1")
    assert result.exit_code == 0, result.exception
    assert result.stderr == f"test: {Path('store') / 'hypotheses'}\n"
    assert asked == [
        (tmp_path / "recipe.yaml", "translate", {"device": "auto", "threads": 1, "quiet": False})
    ]


def test_a_file_that_is_missing_is_told_before_the_model_is_loaded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtkit.translation.translator.Translator.open", None)
    result = invoke("--model", tiny_model, "--input", tmp_path / "missing")
    assert isinstance(result.exception, DataError)
    assert "no such file" in str(result.exception)


@pytest.fixture
def started(tiny_model: Path) -> Any:
    environment = {**os.environ, "MTKIT_MODEL": str(tiny_model), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "mtkit", "translate"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        yield process
        process.kill()


def test_a_pipe_shows_output_before_input_ends_and_ctrl_c_is_clean(started: Any) -> None:
    started.stdin.write(b"the lamp is on.\n\n")
    started.stdin.flush()
    assert started.stdout.readline().strip()
    assert started.stdout.readline() == b"\n"
    started.send_signal(signal.SIGINT)
    assert started.wait(300) == 130
    errors = started.stderr.read().decode()
    assert "2 lines in" in errors
    assert "interrupted" in errors
    assert "Traceback" not in errors and "Fatal" not in errors


def test_a_reader_that_leaves_is_no_error(started: Any) -> None:
    started.stdin.write(b"the lamp is on.\n")
    started.stdin.flush()
    assert started.stdout.readline()
    started.stdout.close()
    started.stdin.write(b"the lamp is on.\n")
    started.stdin.flush()
    assert started.wait(300) == 0
    assert "Traceback" not in started.stderr.read().decode()


def test_a_reader_of_stderr_that_has_gone_changes_neither_output_nor_exit_code(
    tiny_model: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "text", ["the lamp is on.", "", "lamp"])
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mtkit", "translate", "--model", str(tiny_model), "--strict=empty"]
    files = ["--input", str(tmp_path / "text"), "--output", str(tmp_path / "out")]
    code = subprocess.run([*command, *files], stderr=write, check=False).returncode
    os.close(write)
    assert code == FlagError.exit_code
    assert (tmp_path / "out").read_bytes().count(b"\n") == 3
    assert not note_of(tmp_path / "out").exists()


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is translated counts as not finished: its note stays."""
    monkeypatch.setattr(Unfinished, "finish", lambda _: None)


@pytest.mark.parametrize(
    "anew",
    [["the lamp", "is on,", "the lamp", "", "lamp"], ["the lamp is", "on, the lamp", "", "lamp"]],
    ids=["in more lines", "in as many lines"],
)
def test_a_paragraph_that_was_wrapped_anew_is_another_text(
    tiny_model: Path, tmp_path: Path, broken_off: None, anew: list[str]
) -> None:
    text, out = tmp_path / "text", tmp_path / "out"
    write_lines(text, ["the lamp is on,", "the lamp", "", "lamp"])
    options = ("--model", tiny_model, "--input", text, "--document")
    assert invoke(*options, "--output", out).exit_code == 0
    written = out.read_bytes()
    assert invoke(*options, "--resume", out).exit_code == 0
    write_lines(text, anew)
    result = invoke(*options, "--resume", out)
    assert isinstance(result.exception, DataError)
    assert "the text has changed" in str(result.exception)
    assert "a difference after block 0" in str(result.exception)
    assert out.read_bytes() == written


def test_a_file_that_another_kind_of_device_began_is_not_gone_on_with(
    tiny_model: Path, tmp_path: Path, broken_off: None
) -> None:
    text, out = tmp_path / "text", tmp_path / "out"
    write_lines(text, ["the lamp is on."])
    options = ("--model", tiny_model, "--input", text, "--device", "cpu")
    assert invoke(*options, "--output", out).exit_code == 0
    note = note_of(out)
    assert '"device": "cpu"' in note.read_text()
    note.write_text(note.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    result = invoke(*options, "--resume", out)
    assert isinstance(result.exception, RecipeError)
    assert "begun with something else: device cuda → cpu" in str(result.exception)


def test_a_text_that_looks_like_our_json_is_gone_on_with_where_a_note_tells_its_format(
    tiny_model: Path, tmp_path: Path, broken_off: None
) -> None:
    text, out = tmp_path / "text", tmp_path / "out"
    write_lines(text, ["the lamp is on.", "lamp"])
    options = ("--model", tiny_model, "--input", text)
    assert invoke(*options, "--output", out).exit_code == 0
    written = b'{"line": 1, "source": "copied through"}\n' + out.read_bytes().split(b"\n")[1] + b"\n"
    out.write_bytes(written)
    result = invoke(*options, "--resume", out)
    assert result.exit_code == 0, result.exception
    assert out.read_bytes() == written
    note_of(out).unlink()
    assert isinstance(invoke(*options, "--resume", out).exception, DataError)


def test_a_recipe_needs_no_suffix_but_a_text_is_told_from_it(tmp_path: Path) -> None:
    recipe, text = tmp_path / "recipe", tmp_path / "text.txt"
    recipe.write_text("# a recipe\nrecipe: r\nstages: {}\n")
    text.write_bytes(b"f\xf6ur\n")
    refuse_text(recipe, "")
    refuse_text(tmp_path / "missing.txt", "")
    with pytest.raises(RecipeError, match="no recipe"):
        refuse_text(text, "")
    refuse_text(Path("Good morning"), "")
    refuse_text(Path("starter"), "", "echo")
    for words in ("-", "Good morning", "long " * 100):
        with pytest.raises(RecipeError, match="echo"):
            refuse_text(Path(words), "", "echo")
