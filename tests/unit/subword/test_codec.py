import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.config.training import SubwordSampling
from mtkit.errors import ModelError, RecipeError
from mtkit.files import read_json, write_json
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import BOS, EOS, PAD, UNK

Learn = Callable[[SubwordSettings], Path]
LINES = ["der hund springt 12 mal , katze !", "", "die brücke ▁ wartet", "日本 <s> <0x41> a\u00adb"]


@pytest.fixture(params=["bpe", "unigram"])
def subword(request: pytest.FixtureRequest) -> Subword:
    chosen: Subword = request.getfixturevalue(request.param)
    return chosen


def test_what_was_encoded_decodes_to_the_same_text(subword: Subword) -> None:
    ids = subword.encode(LINES, "source")
    assert subword.decode_all(ids, "source") == LINES
    assert [subword.decode(one, "source") for one in ids] == LINES


def test_encoding_adds_no_special_ids_and_nothing_is_unknown(subword: Subword) -> None:
    for ids in subword.encode(LINES, "target"):
        assert not {PAD, UNK, BOS, EOS} & set(ids)


def test_encoding_does_not_depend_on_the_number_of_threads(subword: Subword) -> None:
    lines = [f"der hund springt {number} mal" for number in range(300)]
    assert subword.encode(lines, "source", threads=3) == subword.encode(lines, "source")


def test_one_sentence_is_cut_and_put_together_as_among_others(subword: Subword) -> None:
    lines = ["fab ed", "", "a\u2581b", "\x1a ß 漢字 👍", "ab " * 300]
    every = subword.encode(lines, "source")
    assert [subword.encode([line], "source") for line in lines] == [[ids] for ids in every]
    texts = subword.decode_all([*every, []], "source")
    assert [subword.decode(ids, "source") for ids in [*every, []]] == texts


def test_encoding_nothing_gives_nothing(subword: Subword) -> None:
    assert subword.encode([], "source") == []
    assert subword.decode_all([], "source") == []
    assert subword.sample([], "source", SubwordSampling(), 1) == []


def test_decoding_leaves_special_ids_out(subword: Subword) -> None:
    ids = subword.encode(["der hund"], "source")[0]
    assert subword.decode([BOS, *ids, EOS, PAD, PAD], "source") == "der hund"


def test_decoding_takes_arrays(subword: Subword) -> None:
    ids = np.array(subword.encode(["der hund"], "source")[0], dtype=np.uint16)
    assert subword.decode(ids, "source") == "der hund"


def test_decoding_bytes_never_makes_a_line_break(subword: Subword) -> None:
    bytes_from = 4  # <0x00> is the first piece after the special ones
    assert subword.pieces([bytes_from + 10], "source") == ["<0x0A>"]
    ids = subword.encode(["ja"], "source")[0] + [bytes_from + 10, bytes_from + 13, bytes_from + ord("!")]
    assert subword.decode(ids, "source") == "ja!"


def test_a_character_outside_the_vocabulary_is_unknown_without_byte_fallback(learn: Learn) -> None:
    subword = Subword.load(learn(SubwordSettings(pieces=100, byte_fallback=False)))
    ids = subword.encode(["hund 日"], "source")[0]
    assert ids.count(UNK) == 1
    assert subword.decode(ids, "source") == "hund ⁇"


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_user_defined_pieces_are_never_split(learn: Learn, algorithm: str) -> None:
    pieces = ["<de>", "{name}", "a,b", "x▁y", "ß"]
    subword = Subword.load(
        learn(SubwordSettings.model_validate({"pieces": 312, "algorithm": algorithm, "user_defined": pieces}))
    )
    line = "<de> hund{name}a,b straße x▁y"
    ids = subword.encode([line], "source")[0]
    found = subword.pieces(ids, "source")
    assert [piece.replace("\x1a", "▁") for piece in found if piece.replace("\x1a", "▁") in pieces] == [
        "<de>",
        "{name}",
        "a,b",
        "ß",
        "x▁y",
    ]
    assert subword.decode(ids, "source") == line
    sampled = subword.sample([line] * 20, "source", SubwordSampling(), 3)
    assert all(set(subword.encode(["<de>"], "source")[0][-1:]) <= set(one) for one in sampled)
    assert subword.decode_all(sampled, "source") == [line] * 20


def test_sampling_depends_on_the_seed_and_on_nothing_before(subword: Subword) -> None:
    lines = ["der hund springt über die brücke"] * 30
    first = subword.sample(lines, "source", SubwordSampling(), 5)
    assert subword.sample(lines, "source", SubwordSampling(), 6) != first
    assert subword.sample(lines, "source", SubwordSampling(), 5) == first


def test_sampling_is_the_same_beside_other_sampling_threads(subword: Subword) -> None:
    lines = ["der hund springt über die brücke"] * 30
    alone = {seed: subword.sample(lines, "source", SubwordSampling(), seed) for seed in range(8)}
    together: dict[int, list[list[int]]] = {}

    def sample(seed: int) -> None:
        together[seed] = subword.sample(lines, "source", SubwordSampling(), seed)

    threads = [threading.Thread(target=sample, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_sampling_varies_the_pieces_and_keeps_the_text(subword: Subword) -> None:
    lines = ["der hund springt über die brücke"] * 30
    sampled = subword.sample(lines, "source", SubwordSampling(), 1)
    assert len({tuple(ids) for ids in sampled}) > 5
    assert subword.decode_all(sampled, "source") == lines


def test_a_side_that_is_not_sampled_has_its_best_segmentation(subword: Subword) -> None:
    lines = ["der hund springt über die brücke"] * 30
    only_source = SubwordSampling(sides="source")
    assert subword.sample(lines, "target", only_source, 1) == subword.encode(lines, "target")
    assert subword.sample(lines, "source", only_source, 1) != subword.encode(lines, "source")


def test_no_merges_left_out_is_the_best_segmentation(bpe: Subword) -> None:
    lines = LINES * 10
    assert bpe.sample(lines, "source", SubwordSampling(probability=0.0), 1) == bpe.encode(lines, "source")


def test_more_merges_left_out_give_more_pieces(bpe: Subword) -> None:
    def pieces(probability: float) -> int:
        sampling = SubwordSampling(probability=probability)
        return sum(map(len, bpe.sample(["der hund springt"] * 100, "source", sampling, 1)))

    assert pieces(0.1) < pieces(0.5) < pieces(0.9)


def test_a_temperature_is_refused_for_bpe(bpe: Subword) -> None:
    with pytest.raises(RecipeError, match=r"`temperature: 0.5` has no effect") as caught:
        bpe.sample(["hund"], "source", SubwordSampling(temperature=0.5), 1)
    assert caught.value.where == "stages.train.subword_sampling.temperature"


def test_a_probability_is_refused_for_unigram(unigram: Subword) -> None:
    with pytest.raises(RecipeError, match=r"`probability: 0.2` has no effect") as caught:
        unigram.check_sampling(SubwordSampling(probability=0.2))
    assert caught.value.where == "stages.train.subword_sampling.probability"


def test_what_is_loaded_is_saved_bit_for_bit(learn: Learn, tmp_path: Path) -> None:
    folder = learn(SubwordSettings(pieces=320, share="none"))
    Subword.load(folder).save(tmp_path / "copy")
    before, after = (
        {path.name: path.read_bytes() for path in one.iterdir()} for one in (folder, tmp_path / "copy")
    )
    assert after == before


def test_a_folder_without_vocabularies_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no subword vocabularies here"):
        Subword.load(tmp_path)


def test_a_missing_model_file_is_named(bpe: Subword, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    (tmp_path / "shared.model").unlink()
    with pytest.raises(ModelError, match="the file is missing") as caught:
        Subword.load(tmp_path)
    assert caught.value.where == str(tmp_path / "shared.model")


def test_a_flipped_bit_is_noticed(bpe: Subword, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    model = bytearray((tmp_path / "shared.model").read_bytes())
    model[len(model) // 2] ^= 1
    (tmp_path / "shared.model").write_bytes(model)
    with pytest.raises(ModelError, match="SHA-256"):
        Subword.load(tmp_path)


def test_a_file_of_another_kind_is_noticed_even_if_its_hash_fits(bpe: Subword) -> None:
    for model in (b"", b"no model"):
        with pytest.raises(ModelError, match="not a SentencePiece model"):
            Subword(bpe.card, {"shared.model": model})


def test_a_newer_format_asks_for_an_update(bpe: Subword, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    card = read_json(tmp_path / "subword.json")
    write_json(tmp_path / "subword.json", {**card, "format": 3, "something": "new"})
    with pytest.raises(ModelError, match="format 3 was written by a newer mtkit"):
        Subword.load(tmp_path)


@pytest.mark.parametrize(
    "card",
    ["[]", "{}", '{"format": 1}', json.dumps({"format": 1, "algorithm": "bpe", "files": []}), "no json"],
)
def test_a_damaged_card_is_a_model_error(bpe: Subword, tmp_path: Path, card: str) -> None:
    bpe.save(tmp_path)
    (tmp_path / "subword.json").write_text(card)
    with pytest.raises(ModelError):
        Subword.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"share": "none"},
        {"algorithm": "word"},
        {"files": {"../shared.model": ""}},
        {"files": "shared.model"},
    ],
)
def test_a_card_that_does_not_fit_its_models_is_a_model_error(
    bpe: Subword, tmp_path: Path, change: dict[str, object]
) -> None:
    bpe.save(tmp_path)
    card = read_json(tmp_path / "subword.json")
    write_json(tmp_path / "subword.json", {**card, **change})
    with pytest.raises(ModelError, match="damaged"):
        Subword.load(tmp_path)


def test_what_ids_are_spelt_as_is_the_text_they_decode_to(subword: Subword) -> None:
    spelt = subword.spelt("source")
    assert len(spelt) == subword.size("source")
    for line, ids in zip(LINES, subword.encode(LINES, "source"), strict=True):
        assert b"".join(spelt[one] for one in [BOS, *ids, EOS]).decode().strip() == line
