import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.cli.opening import pairs_of
from mtkit.config.subword import SubwordSettings
from mtkit.errors import DataError, MtkitError, RecipeError
from mtkit.files import write_lines

SOURCES = ["the lamp is on.", "", "the lamp is old.", "lamp", "the lamp " * 40]
TARGETS = ["the lamp is off.", "x", "lamp", "zzzz qqqq", "the lamp"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    write_lines(tmp_path / "source", SOURCES)
    write_lines(tmp_path / "target", TARGETS)
    return [str(tmp_path / "source"), str(tmp_path / "target")]


def invoke(*arguments: str | Path, text: str | bytes = "") -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, ["score-pairs", *map(str, arguments)], input=text)


def rows(result: click.testing.Result) -> list[list[str]]:
    assert result.exit_code == 0, result.exception
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_each_pair_has_a_line_and_a_score_a_token(tiny_model: Path, files: list[str]) -> None:
    found = rows(invoke("--model", tiny_model, *files))
    assert found[1] == found[4] == ["", "", "0"]
    for row in (0, 2, 3):
        assert float(found[row][0]) == pytest.approx(float(found[row][1]) / int(found[row][2]), abs=1e-3)


def test_what_is_too_long_is_not_counted_as_blank(tiny_model: Path, files: list[str]) -> None:
    told = invoke("--model", tiny_model, *files).stderr
    assert "5 sentences (1 with a blank side, 1 too long left out)" in told


def test_it_says_what_perplexity_says(tiny_model: Path, files: list[str]) -> None:
    other = click.testing.CliRunner().invoke(mtkit, ["perplexity", "--model", str(tiny_model), *files])
    wanted = [line.split("\t") for line in other.stdout.splitlines()]
    found = rows(invoke("--model", tiny_model, *files))
    assert [row[1:] for row in found[:4]] == wanted[:4]


def test_a_table_and_two_files_give_the_same(tiny_model: Path, files: list[str]) -> None:
    table = "".join(f"{s}\t{t}\tmore\n" for s, t in zip(SOURCES, TARGETS, strict=True))
    assert (
        invoke("--model", tiny_model, "-", text=table).stdout == invoke("--model", tiny_model, *files).stdout
    )


def test_json_has_every_piece_and_they_add_up(tiny_model: Path, files: list[str]) -> None:
    result = invoke("--model", tiny_model, "--json", "--quiet", *files)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3, 4, 5]
    assert records[1]["score"] is None and "pieces" not in records[1]
    assert [record.get("unscored") for record in records] == [None, "blank", None, None, "too_long"]
    for record in (records[0], records[2]):
        assert len(record["pieces"]) == len(record["token_log_probabilities"]) == record["tokens"]
        assert sum(record["token_log_probabilities"]) == pytest.approx(record["log_probability"], abs=1e-4)
        assert record["pieces"][-1] == "</s>"


def test_the_best_share_is_kept_in_its_order(tiny_model: Path, files: list[str]) -> None:
    scores = [
        (float(row[0]), at) for at, row in enumerate(rows(invoke("--model", tiny_model, *files))) if row[0]
    ]
    best = sorted(at for _, at in sorted(scores, reverse=True)[:2])
    kept = invoke("--model", tiny_model, "--keep", "0.4", *files)
    assert rows(kept) == [[SOURCES[at], TARGETS[at]] for at in best]
    assert "2 of 5 pairs kept" in kept.stderr
    assert "2 without a score (1 with a blank side, 1 too long)" in kept.stderr
    everything = rows(invoke("--model", tiny_model, "--keep", "1", *files))
    assert everything == [[SOURCES[at], TARGETS[at]] for at in (0, 2, 3)]


def test_both_directions_make_one_score(tiny_model: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    write_lines(pairs, ["the lamp is on.\tlamp", "lamp\tthe lamp is on."])
    forth, back = (float(row[0]) for row in rows(invoke("--model", tiny_model, pairs)))
    both = rows(invoke("--model", tiny_model, "--reverse", tiny_model, pairs))
    wanted = -(abs(forth - back) + (-forth - back) / 2)
    assert [float(row[0]) for row in both] == pytest.approx([wanted, wanted], abs=1e-4)


NOISY = b"the lamp is on.\tlamp\nno tab\nthe lamp\tl\xffmp\n\nl\xffmp\tthe lamp\n\tx\nlamp\tthe lamp\tmore\n"
LEFT_OUT = "1 with a blank side, 2 with bytes that are no UTF-8, 2 without a tab"


def test_a_noisy_table_is_scored_to_its_end_line_by_line(tiny_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "noisy.tsv"
    table.write_bytes(NOISY)
    result = invoke("--model", tiny_model, table)
    found = rows(result)
    assert [row == ["", "", "0"] for row in found] == [False, True, True, True, True, True, False]
    assert f"7 sentences ({LEFT_OUT} left out)" in result.stderr
    assert found == rows(invoke("--model", tiny_model, "-", text=NOISY))


def test_json_says_why_a_pair_has_no_score(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--json", "-", text=NOISY)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    why = [record.get("unscored") for record in records]
    assert why == [None, "no_tab", "invalid_utf8", "no_tab", "invalid_utf8", "blank", None]
    assert (records[1]["source"], records[1]["target"]) == ("no tab", "")
    assert records[2]["target"] == "l\ufffdmp"


def test_what_has_no_score_is_never_kept(tiny_model: Path) -> None:
    kept = invoke("--model", tiny_model, "--keep", "1", "-", text=NOISY)
    assert rows(kept) == [["the lamp is on.", "lamp"], ["lamp", "the lamp"]]
    assert "2 of 7 pairs kept" in kept.stderr
    assert f"5 without a score ({LEFT_OUT})" in kept.stderr
    both = invoke("--model", tiny_model, "--reverse", tiny_model, "--keep", "1", "-", text=NOISY)
    assert rows(both) == rows(kept)


def test_a_pair_with_characters_that_the_model_cannot_write_is_counted_and_never_kept(
    make_tiny_model: Callable[[SubwordSettings], Path],
) -> None:
    model = make_tiny_model(SubwordSettings(pieces=24, byte_fallback=False))
    text = "the lamp\tthe lamp\nthe lamp\tthe \u0416\n\u0416 lamp\tlamp\n"
    result = invoke("--model", model, "--json", "-", text=text)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record.get("unscored") for record in records] == [None, "unknown", None]
    kept = invoke("--model", model, "--reverse", model, "--keep", "1", "-", text=text)
    assert rows(kept) == [["the lamp", "the lamp"]]
    assert "2 without a score (2 with characters that the model has no piece for)" in kept.stderr


def test_two_noisy_texts_are_scored_to_their_end(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"the lamp\nl\xffmp\nlamp\n")
    (tmp_path / "target").write_bytes(b"the lamp\nlamp\nlamp\n")
    found = rows(invoke("--model", tiny_model, tmp_path / "source", tmp_path / "target"))
    assert [row == ["", "", "0"] for row in found] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("a b\nc d\n", "stdin", "no tab in any line"),
        ("a b\n" * 1500 + "c\td\n", "stdin", "no tab in any of the first 1,000 lines"),
        ("a\tb\n".encode("utf-16"), "stdin:1", "this is UTF-16, not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(tiny_model: Path, text: str | bytes, where: str, found: str) -> None:
    result = invoke("--model", tiny_model, "-", text=text)
    assert isinstance(result.exception, DataError)
    assert (result.exception.where, result.exception.found) == (where, found)
    assert result.stdout == ""


def test_unequal_files_and_contradicting_options_are_refused(tiny_model: Path, files: list[str]) -> None:
    assert isinstance(invoke("--model", tiny_model, "--json", "--keep", "0.5", *files).exception, RecipeError)
    write_lines(Path(files[1]), ["one"])
    assert isinstance(invoke("--model", tiny_model, *files).exception, MtkitError)


def test_two_files_are_never_all_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "text"
    write_lines(path, (f"{number} {'x' * 100}" for number in range(20_000)))
    tracemalloc.start()
    assert sum(source == target for source, target in pairs_of(path, path)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 4


def test_stdin_is_not_both_sides(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "-", "-", text="the lamp\n")
    assert isinstance(result.exception, RecipeError)
    assert "stdin is named for both sides" in str(result.exception)
