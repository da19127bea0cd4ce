"""Options of `mtkit translate` that say how to search; what search does with them is tested beside it."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import click.testing
import pytest

from benchmarks.stand_ins import SMALLEST, write_model
from mtkit.cli.main import mtkit
from mtkit.cli.search_options import search_settings
from mtkit.config.model import LearnedPositions
from mtkit.config.search import Diversity, Mbr, Sampling, SearchSettings
from mtkit.errors import DataError, ModelError, MtkitError, RecipeError
from mtkit.files import write_json, write_lines
from mtkit.model.folder import CARD, read_card
from mtkit.translation import engine, translator

LINES = "the lamp is on.\n\nthe lamp is old.\n"


def invoke(*arguments: str | Path, text: str = LINES) -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, ["translate", "--quiet", *map(str, arguments)], input=text)


def records(*arguments: str | Path, text: str = LINES) -> list[dict[str, Any]]:
    result = invoke(*arguments, "--json", text=text)
    assert result.exit_code == 0, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_settings_are_laid_over_the_models_own_and_only_given_ones_can_be_without_effect() -> None:
    own = SearchSettings(beam_size=4, length_penalty=0.8, diversity=Diversity(groups=2), n_best=2)
    found = search_settings(own, {"beam_size": None, "n_best": None}, ["sampling.top_k=3"])
    assert found.sampling == Sampling(top_k=3)
    assert (found.beam_size, found.length_penalty, found.n_best) == (4, 0.8, 2)


def test_what_a_models_own_samples_are_drawn_by_is_nobodys_choice_here_either() -> None:
    def read(sampling: Sampling) -> SearchSettings:  # as from a model's card
        return SearchSettings.model_validate(SearchSettings(sampling=sampling).written())

    one = read(Sampling(top_k=1))
    assert search_settings(one, {}, []) == one
    assert search_settings(one, {}, ["no_repeat_ngram=2"]).sampling == Sampling(top_k=1)
    bold = search_settings(read(Sampling(top_k=9, temperature=0.7)), {}, ["sampling={top_k: 1}"])
    assert bold.sampling == Sampling(top_k=1, temperature=0.7)
    with pytest.raises(RecipeError, match=r"--set sampling\.seed"):
        search_settings(one, {}, ["sampling.seed=2"])


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["sampling.top_k=3", "diversity.groups=2"], "--set diversity"),
        (["diversity.groups=3"], "--set diversity.groups"),
        (["min_length_extra=50"], "--set min_length_extra"),
        (["sampling.top_k=1", "sampling.temperature=2"], "--set sampling.temperature"),
        (["sampling.temperature=1e-310"], "--set sampling.temperature"),
        (["mbr.candidates=30"], "--set mbr.candidates"),
    ],
)
def test_what_does_not_fit_is_told_by_the_name_it_was_given_under(overrides: list[str], where: str) -> None:
    with pytest.raises(RecipeError) as caught:
        search_settings(SearchSettings(), {}, overrides)
    assert caught.value.where == where


@pytest.mark.parametrize("more", [[], ["sampling={}", "mbr.candidates=8"]])
def test_several_best_by_set_are_refused_where_one_is_written(more: list[str]) -> None:
    with pytest.raises(RecipeError, match="--set n_best: it has no effect") as caught:
        search_settings(SearchSettings(), {"n_best": None}, ["n_best=4", *more])
    assert "use `--n-best 4`" in caught.value.advice


def test_how_many_samples_are_drawn_may_be_set() -> None:
    assert search_settings(SearchSettings(), {}, ["sampling={}", "n_best=4"]).n_best == 4


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="--beam-size: given by --beam-size and by --set"):
        search_settings(SearchSettings(), {"beam_size": 3}, ["beam_size=4"])


def test_a_prefix_begins_every_translation_but_that_of_a_blank_line(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--target-prefix", "lamp on", "--set", "max_length_extra=30")
    lines = result.stdout.split("\n")
    assert lines[0].startswith("lamp on") and lines[2].startswith("lamp on")
    assert lines[1] == ""


def test_each_line_may_bring_its_own_prefix(tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--with-prefixes", "--set", "max_length_extra=30")
    text = "the lamp is on.\tlamp\nthe lamp is on.\nthe lamp is on.\told\n"
    found = records(*options, text=text)
    assert [record["source"] for record in found] == ["the lamp is on."] * 3
    assert str(found[0]["translation"]).startswith("lamp")
    assert str(found[2]["translation"]).startswith("old")
    assert (
        found[1]["translation"]
        == records("--model", tiny_model, *options[3:], text="the lamp is on.")[0]["translation"]
    )


def test_a_prefix_longer_than_a_translation_may_be_is_refused(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--target-prefix", "the lamp is old. " * 9)
    assert isinstance(result.exception, DataError)
    assert "fewer than the" in str(result.exception)
    assert result.stdout == ""


def test_a_prefix_that_cannot_be_is_told_with_its_line(tiny_model: Path, tmp_path: Path) -> None:
    options = ("--model", tiny_model, "--with-prefixes")
    bad = "the lamp is old.\t" + "the lamp is old. " * 9
    text = "the lamp is on.\tlamp\n\n" * 300 + bad + "\nlamp\n"  # behind more lines than a window has
    result = invoke(*options, text=text)
    assert isinstance(result.exception, DataError)
    assert result.exception.where == "stdin:601"
    assert len(result.stdout.splitlines()) == 600
    write_lines(tmp_path / "text", ["lamp", bad])
    result = invoke(*options, "--input", tmp_path / "text")
    assert isinstance(result.exception, DataError)
    assert result.exception.where == f"{tmp_path / 'text'}:2"


def test_a_prefix_that_a_block_cannot_have_is_told_with_its_first_line(tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--document", "--target-prefix", "the lamp is old. " * 2)
    result = invoke(
        *options, text="the lamp is on the lamp is on the lamp is on,\nthe lamp is old.\n\nlamp\n"
    )
    assert isinstance(result.exception, DataError)
    assert result.exception.where == "stdin:4"


def test_a_prefix_longer_than_the_models_positions_is_refused_whatever_a_translation_may_have(
    tiny_model: Path, tmp_path: Path
) -> None:
    shape = SMALLEST.model_copy(update={"positions": LearnedPositions(max=16)})
    folder = write_model(
        tmp_path / "model",
        tiny_model / "subword",
        seed=2,
        shape=shape,
        source_language="en",
        target_language="en",
        normalize="nfc",
    )
    prefix = ("--target-prefix", "the lamp is old. " * 9, "--set", "max_length_extra=500")
    result = invoke("--model", folder, *prefix)
    assert isinstance(result.exception, DataError)
    assert result.exception.expected == "fewer than the 16 that this model can write"
    assert result.stdout == ""


def test_suppressed_texts_do_not_appear(tiny_model: Path) -> None:
    before = invoke("--model", tiny_model).stdout
    letters = sorted({letter for letter in before if letter.isalpha()})
    assert letters
    after = invoke("--model", tiny_model, "--set", f"suppress={json.dumps(letters)}").stdout
    assert not set(after) & set(letters)
    assert after.count("\n") == 3


def test_a_piece_that_is_none_is_refused(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--set", "suppress_pieces=[lmap]")
    assert isinstance(result.exception, RecipeError)
    assert "no piece 'lmap'" in str(result.exception)


def test_samples_repeat_with_their_seed_and_do_not_depend_on_their_neighbours(tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--set", "sampling.temperature=1.5", "--n-best", "3")
    together = records(*options)
    alone = records(*options, text="the lamp is old.\n")[0]["n_best"]
    for one, other in zip(alone, together[2]["n_best"], strict=True):  # the same but for rounding
        assert (one["translation"], one["tokens"]) == (other["translation"], other["tokens"])
        for name in ("score", "log_probability"):
            assert math.isclose(one[name], other[name], rel_tol=1e-5)
    assert records(*options) == together
    other = records(*options, "--set", "sampling.seed=2")
    assert other[0]["n_best"] != together[0]["n_best"]


def test_the_scores_of_tokens_add_up(tiny_model: Path) -> None:
    found = records("--model", tiny_model, "--token-scores")
    assert found[1]["pieces"] == []
    for record in (found[0], found[2]):
        values, pieces = record["token_log_probabilities"], record["pieces"]
        assert isinstance(values, list) and isinstance(pieces, list)
        assert len(values) == len(pieces)
        assert math.isclose(sum(values), float(str(record["log_probability"])), abs_tol=1e-4)
        assert "attention" not in record


def test_an_alignment_names_a_source_piece_for_each_piece(tiny_model: Path) -> None:
    long = "the lamp is on. " * 12
    for record in records("--model", tiny_model, "--alignment", text=f"the lamp is old.\n{long}\n"):
        sources, aligned, pieces = record["source_pieces"], record["alignment"], record["pieces"]
        assert isinstance(sources, list) and isinstance(aligned, list) and isinstance(pieces, list)
        assert len(aligned) == len(pieces)
        for piece, at in zip(pieces, aligned, strict=True):
            assert (at is None) == (piece == "</s>")
            assert at is None or sources[at] != "</s>"
        weights = record["attention"]
        assert isinstance(weights, list)
        assert all(sum(row) == pytest.approx(1.0, abs=0.01) and len(row) == len(sources) for row in weights)


def say_otherwise(folder: Path, **changes: object) -> None:
    """Let a model's card say something else, whole as it is."""
    write_json(folder / CARD, read_card(folder).model_copy(update=changes).written())


def test_a_model_twice_is_the_model(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "other")
    both = ("--model", tiny_model, "--model", tmp_path / "other")
    alone = invoke("--model", tiny_model, "--scores").stdout
    assert invoke(*both, "--scores").stdout == alone
    assert invoke(*both, "--scores", "--average", "log-probabilities").stdout == alone


def test_models_of_other_vocabularies_are_refused_by_their_hashes(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "other")
    files = read_card(tmp_path / "other").files | {"subword/shared.model": "0" * 64}
    say_otherwise(tmp_path / "other", files=files)
    result = invoke("--model", tiny_model, "--model", tmp_path / "other")
    assert isinstance(result.exception, ModelError)
    assert "subword/shared.model differ" in str(result.exception)


def test_a_reverse_model_ranks_anew(tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--beam-size", "6", "--n-best", "6")
    plain, weighed = records(*options), records(*options, "--rerank-by", tiny_model, "--rerank-weight", "9")
    for before, after in zip(plain, weighed, strict=True):
        one, other = before["n_best"], after["n_best"]
        assert isinstance(one, list) and isinstance(other, list)
        texts = [[candidate["translation"] for candidate in some] for some in (one, other)]
        assert sorted(texts[0]) == sorted(texts[1])
    assert [r["n_best"] for r in plain] != [r["n_best"] for r in weighed]


def test_a_reverse_model_is_opened_for_scoring_whatever_it_searches_with_itself(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    sampling = SearchSettings(sampling=Sampling(), suppress=["the"])
    say_otherwise(other, decoding=sampling)
    opened: dict[Path, SearchSettings] = {}
    chosen = engine.choose_engine

    def choose(folder: Path, settings: SearchSettings, *rest: Any) -> engine.Choice:
        opened[folder] = settings
        return chosen(folder, settings, *rest)

    monkeypatch.setattr(translator, "choose_engine", choose)
    assert invoke("--model", tiny_model, "--rerank-by", other).exit_code == 0
    assert opened[other].beyond_beam() == ()


def test_the_engine_that_is_named_computes_the_reverse_model_too(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / "other")
    wished: dict[Path, engine.Wish] = {}
    chosen = engine.choose_engine

    def choose(
        folder: Path, settings: SearchSettings, device: str, wish: engine.Wish, of_torch: str
    ) -> engine.Choice:
        wished[folder] = wish
        return chosen(folder, settings, device, wish, of_torch)

    monkeypatch.setattr(translator, "choose_engine", choose)
    result = invoke("--model", tiny_model, "--rerank-by", tmp_path / "other", "--engine", "torch")
    assert result.exit_code == 0, result.exception
    assert wished == {tiny_model: "torch", tmp_path / "other": "torch"}


def test_where_the_models_own_search_chooses_the_message_says_so_and_how_to_rerank_all_the_same(
    tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "own")
    say_otherwise(tmp_path / "own", decoding=SearchSettings(beam_size=4, mbr=Mbr(candidates=4)))
    options = ("--model", tmp_path / "own", "--rerank-by", tiny_model)
    result = invoke(*options)
    assert isinstance(result.exception, RecipeError)
    assert result.exception.found == "the model's card has `mbr`, which ranks already"
    assert "`--set mbr=null`" in result.exception.advice
    again = invoke(*options, "--set", "mbr=null")
    assert again.exit_code == 0, again.exception


def test_mbr_chooses_among_samples_what_is_most_like_the_others(tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--set", "sampling={}", "--set", "mbr.candidates=8", "--n-best", "8")
    found = records(*options)[0]
    ranked = found["n_best"]
    assert isinstance(ranked, list)
    scores = [candidate["score"] for candidate in ranked]
    assert len(ranked) == 8 and all(0 <= score <= 100 for score in scores)


@pytest.mark.parametrize(
    "options",
    [
        ["--token-scores"],
        ["--alignment"],
        ["--average", "probabilities"],
        ["--rerank-weight", "0.5"],
        ["--with-prefixes", "--target-prefix", "a"],
        ["--rerank-by", "MODEL", "--beam-size", "1"],
        ["--rerank-by", "MODEL", "--set", "mbr.candidates=2"],
    ],
    ids=" ".join,
)
def test_an_option_without_effect_is_refused(tiny_model: Path, options: list[str]) -> None:
    named = [str(tiny_model) if option == "MODEL" else option for option in options]
    result = invoke("--model", tiny_model, *named)
    assert isinstance(result.exception, MtkitError), result.exception
    assert isinstance(result.exception, RecipeError)


def test_a_setting_with_its_value_is_told_as_an_option_takes_it(tiny_model: Path) -> None:
    result = invoke("--model", tiny_model, "--beam-size", "1", "--length-penalty", "1")
    assert "has no effect on greedy search (`--beam-size 1`)" in str(result.exception)


def test_a_reverse_model_of_the_same_direction_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "other")
    say_otherwise(tmp_path / "other", source_language="de")
    result = invoke("--model", tmp_path / "other", "--rerank-by", tmp_path / "other")
    assert isinstance(result.exception, ModelError)
    assert "expected" not in str(result.exception).splitlines()[0]
    assert "a model from en to de" in str(result.exception)
