import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.errors import DataError
from mtkit.files import read_json, write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, draw, learn_subword
from mtkit.subword.vocabulary import BOS, EOS, PAD, UNK

Learn = Callable[[SubwordSettings], Path]


def write_corpus(folder: Path, source: list[str], target: list[str]) -> SubwordInputs:
    write_lines(folder / "train.source", source)
    write_lines(folder / "train.target", target)
    return SubwordInputs(folder)


def models(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_learning_twice_gives_the_same_bits(learn: Learn, algorithm: str) -> None:
    settings = SubwordSettings.model_validate({"pieces": 300, "algorithm": algorithm, "sentences": 100})
    assert models(learn(settings)) == models(learn(settings))


def test_another_seed_draws_other_sentences(corpus: Path, tmp_path: Path) -> None:
    settings = SubwordSettings(pieces=310, sentences=100)
    for seed in (1, 2):
        run = RunContext(seed=seed, quiet=True)
        learn_subword(settings, SubwordInputs(corpus), tmp_path / str(seed), run)
    assert models(tmp_path / "1") != models(tmp_path / "2")


def test_a_shared_vocabulary_is_one_file_and_knows_both_sides(learn: Learn) -> None:
    folder = learn(SubwordSettings(pieces=340))
    assert set(models(folder)) == {"subword.json", "shared.model"}
    subword = Subword.load(folder)
    assert subword.shared
    assert subword.encode(["der the"], "source") == subword.encode(["der the"], "target")


def test_separate_vocabularies_learn_from_their_own_side(learn: Learn) -> None:
    folder = learn(SubwordSettings(pieces=320, share="none"))
    assert set(models(folder)) == {"subword.json", "source.model", "target.model"}
    subword = Subword.load(folder)
    assert not subword.shared
    assert "▁der" in subword.pieces(subword.encode(["der"], "source")[0], "source")
    assert "▁the" in subword.pieces(subword.encode(["the"], "target")[0], "target")
    assert "▁the" not in subword.pieces(subword.encode(["the"], "source")[0], "source")


def test_the_card_says_what_was_learnt(learn: Learn) -> None:
    card = read_json(
        learn(SubwordSettings(pieces=340, byte_fallback=False, user_defined=["<x>"])) / "subword.json"
    )
    assert card["format"] == 1
    assert card["algorithm"] == "bpe"
    assert card["share"] == "source-and-target"
    assert card["byte_fallback"] is False
    assert card["sizes"] == {"source": 340, "target": 340}


def test_the_special_ids_are_those_of_the_vocabulary(bpe: Subword) -> None:
    assert bpe.pieces([PAD, UNK, BOS, EOS], "source") == ["<pad>", "<unk>", "<s>", "</s>"]


def test_every_digit_is_a_piece_of_its_own(bpe: Subword) -> None:
    pieces = bpe.pieces(bpe.encode(["12 34"], "source")[0], "source")
    assert [piece for piece in pieces if piece != "▁"] == ["1", "2", "3", "4"]


def test_too_many_pieces_name_the_largest_possible_number(corpus: Path, tmp_path: Path) -> None:
    for algorithm in ("bpe", "unigram"):
        settings = SubwordSettings.model_validate({"pieces": 5000, "algorithm": algorithm})
        with pytest.raises(DataError, match="5,000 pieces are more than this text supports") as caught:
            learn_subword(settings, SubwordInputs(corpus), tmp_path / algorithm, RunContext(quiet=True))
        most = int(re.findall(r"\d+", caught.value.expected)[0])
        possible = settings.model_copy(update={"pieces": most})
        learn_subword(possible, SubwordInputs(corpus), tmp_path / algorithm, RunContext(quiet=True))
        assert Subword.load(tmp_path / algorithm).size("source") == most


def test_too_few_pieces_name_the_least_possible_number(tmp_path: Path) -> None:
    letters = [chr(0x4E00 + number) for number in range(200)]
    inputs = write_corpus(tmp_path, letters, letters)
    with pytest.raises(DataError, match="too few for the characters") as caught:
        learn_subword(
            SubwordSettings(pieces=100, byte_fallback=False), inputs, tmp_path / "out", RunContext(quiet=True)
        )
    assert caught.value.expected == "at least 205 pieces"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_a_corpus_without_text_is_a_data_error(tmp_path: Path, lines: list[str]) -> None:
    inputs = write_corpus(tmp_path, lines, lines)
    with pytest.raises(DataError, match="no text to learn pieces from"):
        learn_subword(SubwordSettings(pieces=300), inputs, tmp_path / "out", RunContext(quiet=True))


@pytest.mark.parametrize("sentences", [None, 10])
def test_an_error_of_the_text_keeps_its_line(tmp_path: Path, sentences: int | None) -> None:
    inputs = write_corpus(tmp_path, ["ja"] * 50, ["yes"] * 50)
    (tmp_path / "train.target").write_bytes(b"yes\nn\xff\n")
    with pytest.raises(DataError, match="not valid UTF-8") as caught:
        learn_subword(
            SubwordSettings(pieces=300, sentences=sentences), inputs, tmp_path / "out", RunContext(quiet=True)
        )
    assert caught.value.where == f"{tmp_path / 'train.target'}:2"


def test_learning_writes_nothing_to_the_terminal(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    learn_subword(SubwordSettings(pieces=340), SubwordInputs(corpus), tmp_path, RunContext(quiet=True))
    with pytest.raises(DataError):
        learn_subword(SubwordSettings(pieces=9000), SubwordInputs(corpus), tmp_path, RunContext(quiet=True))
    assert capfd.readouterr() == ("", "")


def test_just_so_many_lines_are_drawn_each_as_likely_as_any_other() -> None:
    often = np.zeros(20)
    for seed in range(500):
        drawn = draw(20, 5, [seed])
        assert drawn.sum() == 5
        often += drawn
    assert often.min() > 85  # 125 expected, standard deviation 9.7
    assert often.max() < 165


def test_all_lines_are_drawn_if_there_are_no_more_than_wanted() -> None:
    assert draw(7, 7, [1]).all()
    assert draw(3, 7, [1]).sum() == 3
    assert len(draw(0, 7, [1])) == 0


@pytest.mark.parametrize("piece", ["", "a b", "\t", "<pad>", "<unk>", "<s>", "</s>", "<0x41>"])
def test_a_piece_that_cannot_be_user_defined_is_found_before_anything_runs(piece: str) -> None:
    findings = list(SubwordSettings(user_defined=["<de>", piece]).findings())
    assert [finding.path for finding in findings] == [("user_defined", 1)]


def test_ordinary_user_defined_pieces_are_no_finding() -> None:
    assert not list(SubwordSettings(user_defined=["<de>", "{x}", "a,b", '"q', "▁", "<0x4>"]).findings())


def test_lines_that_sentencepiece_passes_over_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["der hund läuft"] * 20
    left_out = ["a" * 16385, "ein \u2585 ofen"]
    inputs = write_corpus(tmp_path, [*usual, "b" * 16384, *left_out], usual)
    settings = SubwordSettings(pieces=18, byte_fallback=False, share="none")
    learn_subword(settings, inputs, tmp_path / "out", RunContext())
    subword = Subword.load(tmp_path / "out")
    letters = "".join(subword.pieces(range(subword.size("source")), "source"))
    assert "b" in letters and "o" not in letters
    said = capsys.readouterr().err
    assert "subword: 2 lines of more than 16,384 bytes or with ▅ (U+2585) were not learnt from" in said


def test_nothing_is_said_of_lines_where_all_are_learnt_from(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_subword(SubwordSettings(pieces=310), SubwordInputs(corpus), tmp_path, RunContext())
    assert "not learnt from" not in capsys.readouterr().err
