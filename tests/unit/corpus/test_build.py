from pathlib import Path
from typing import Any

import pytest

from mtkit.config.corpus import CorpusSettings
from mtkit.corpus.build import CorpusInputs, build_corpus
from mtkit.errors import DataError
from mtkit.files import read_json
from mtkit.log import RunContext


def text(path: Path, *lines: str) -> None:
    path.write_bytes("".join(line + "\n" for line in lines).encode())


def files(folder: Path, train: list[tuple[str, str]]) -> Path:
    text(folder / "train.de", *(a for a, _ in train))
    text(folder / "train.en", *(b for _, b in train))
    text(folder / "dev.de", "Guten Tag!", "")
    text(folder / "dev.en", "Good day!", "")
    return folder


def build(folder: Path, **settings: Any) -> dict[str, Any]:
    given = CorpusSettings.model_validate({"train": ["train"], "valid": "dev", "test": "dev", **settings})
    build_corpus(given, CorpusInputs("de", "en", folder), folder / "out", RunContext(quiet=True))
    record: dict[str, Any] = read_json(folder / "out" / "corpus.json")
    return record


def test_everything_the_stage_promises_is_written(tmp_path: Path) -> None:
    train = [
        ("ein\u00a0Haus", "a house"),
        ("ein Haus", "a house"),
        ("guten tag", "hi"),
        ("a b c", "x"),
        ("", "y"),
    ]
    record = build(files(tmp_path, train), filters=[{"length": {"max": 2}}, {"duplicates": {}}])
    out = tmp_path / "out"
    assert (out / "train.source").read_text("utf-8") == "ein Haus\n"
    assert (out / "train.target").read_text("utf-8") == "a house\n"
    assert (out / "test.source").read_text("utf-8") == "Guten Tag!\n\n"
    assert record["pairs"] == {"train": 1, "valid": 2, "test": 2}
    assert [(item["filter"], item["removed"]) for item in record["filters"]] == [
        ("empty", 1),
        ("length", 1),
        ("duplicates", 1),
    ]
    assert record["held_out_removed"] == 1
    assert (record["source_language"], record["target_language"], record["normalize"]) == ("de", "en", "nfc")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            "corpus.json",
            *(f"{split}.{side}" for split in ("train", "valid", "test") for side in ("source", "target")),
        ]
    )


def test_removed_and_kept_pairs_add_up(tmp_path: Path) -> None:
    train = [(f"w{n % 7} " * (n % 5) + "x", f"v{n % 11}") for n in range(500)]
    record = build(
        files(tmp_path, train),
        filters=[{"length": {"max": 4}}, {"length_ratio": {"max": 2.0}}, {"duplicates": {}}],
    )
    removed = sum(item["removed"] for item in record["filters"]) + record["held_out_removed"]
    assert record["train_pairs_read"] == 500
    assert removed + record["pairs"]["train"] == 500


def test_a_limit_keeps_the_first_pairs_that_pass(tmp_path: Path) -> None:
    record = build(files(tmp_path, [(f"s {n}", f"t {n}") for n in range(50)]), limit=3)
    assert record["pairs"]["train"] == 3
    assert (tmp_path / "out" / "train.source").read_text() == "s 0\ns 1\ns 2\n"


def test_sources_are_read_in_their_order(tmp_path: Path) -> None:
    folder = files(tmp_path, [("a", "b")])
    (folder / "more.tsv").write_text("c\td\n")
    build(folder, train=["train", {"tsv": "more.tsv"}])
    assert (folder / "out" / "train.source").read_text() == "a\nc\n"


def test_a_dataset_brings_its_splits_and_its_licence(tmp_path: Path) -> None:
    given = CorpusSettings.model_validate({"train": [{"dataset": "starter"}]})
    build_corpus(given, CorpusInputs("de", "en", tmp_path), tmp_path / "out", RunContext(quiet=True))
    record = read_json(tmp_path / "out" / "corpus.json")
    assert record["pairs"] == {"train": 317, "valid": 30, "test": 30}
    assert record["licences"] == [
        {"dataset": "starter", "licence": "Apache-2.0", "attribution": "The mtkit developers"}
    ]


def test_a_corpus_emptied_by_filters_names_the_culprit(tmp_path: Path) -> None:
    folder = files(tmp_path, [("a b c", "d e f"), ("g", "g")])
    with pytest.raises(DataError) as caught:
        build(folder, filters=[{"copies": {}}, {"length": {"min": 5, "max": 9}}])
    message = str(caught.value)
    assert "no training pair is left of 2; removed by copies 1, length 1" in message
    assert not (folder / "out" / "corpus.json").exists()


def test_an_empty_corpus_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the corpus is empty"):
        build(files(tmp_path, []))


def test_unequal_sides_stop_the_stage_and_leave_no_half_written_split(tmp_path: Path) -> None:
    folder = files(tmp_path, [("a", "b"), ("c", "d")])
    text(folder / "train.en", "b")
    with pytest.raises(DataError, match="the two sides differ"):
        build(folder)
    assert not list((folder / "out").glob("train*"))
    assert not list((folder / "out").glob(".*"))


SENTENCES = [(f"das ist der Satz {n} hier", f"this is sentence {n} here") for n in range(400)]


def held_out_of(folder: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, list[tuple[str, str]]]]:
    """corpus.json, and the pairs of each split, with no files but those of training."""
    record = build(folder, **{"valid": None, "test": None, **settings})
    sides = ("source", "target")
    rows = {
        split: [(folder / "out" / f"{split}.{side}").read_text("utf-8").splitlines() for side in sides]
        for split in record["pairs"]
    }
    return record, {split: list(zip(*both, strict=True)) for split, both in rows.items()}


def test_splits_hold_validation_and_test_out_of_the_training_texts(tmp_path: Path) -> None:
    record, pairs = held_out_of(files(tmp_path, SENTENCES), splits={"valid": 0.1, "test": 0.2})
    assert sorted(pairs["train"] + pairs["valid"] + pairs["test"]) == sorted(SENTENCES)
    # shares of 400 by chance: a standard deviation is 6 for valid and 8 for test
    assert abs(len(pairs["valid"]) - 40) < 30
    assert abs(len(pairs["test"]) - 80) < 40
    assert record["train_pairs_read"] == len(pairs["train"])
    assert record["splits"]["test"]["pairs_read"] == len(pairs["test"])


def test_other_pairs_move_none_from_one_split_to_another(tmp_path: Path) -> None:
    _, few = held_out_of(files(tmp_path, SENTENCES[:200]), splits={"valid": 0.1, "test": 0.2})
    _, many = held_out_of(files(tmp_path, SENTENCES), splits={"valid": 0.1, "test": 0.2})
    assert all(set(few[split]) <= set(many[split]) for split in few)


def test_with_the_other_side_both_directions_hold_out_the_same_pairs(tmp_path: Path) -> None:
    shares = {"valid": 0.1, "test": 0.2}
    _, forward = held_out_of(files(tmp_path, SENTENCES), splits=shares)
    backward = files(tmp_path, [(b, a) for a, b in SENTENCES])
    _, reversed_ = held_out_of(backward, splits={**shares, "by": "target"})
    assert forward == {split: [(b, a) for a, b in rows] for split, rows in reversed_.items()}


def test_what_splits_hold_out_passes_the_filters_and_repeats_nothing(tmp_path: Path) -> None:
    repeated = SENTENCES + [(source.upper(), "something else") for source, _ in SENTENCES]
    untranslated = [
        (f"copied sentence number {n} stays", f"copied sentence number {n} stays") for n in range(99)
    ]
    record, pairs = held_out_of(
        files(tmp_path, repeated + untranslated),
        splits={"valid": 0.3, "test": 0.3},
        filters=[{"copies": {}}, {"duplicates": {"of": "source", "fold": True}}],
    )
    for split in ("valid", "test"):
        found = {item["filter"]: item["removed"] for item in record["splits"][split]["filters"]}
        assert found["copies"] > 0
        assert found["duplicates"] > 0
        assert len({source.lower() for source, _ in pairs[split]}) == len(pairs[split])
        assert record["splits"][split]["pairs_read"] == sum(found.values()) + len(pairs[split])
    held_out = {source.lower() for split in ("valid", "test") for source, _ in pairs[split]}
    assert held_out
    assert not held_out & {source.lower() for source, _ in pairs["train"]}


def test_a_target_shared_by_two_splits_stays_in_the_first(tmp_path: Path) -> None:
    same = [(source, f"translation of {n // 2}") for n, (source, _) in enumerate(SENTENCES)]
    _, pairs = held_out_of(files(tmp_path, same), splits={"test": 0.2, "valid": 0.2})
    targets = {split: {target for _, target in rows} for split, rows in pairs.items()}
    assert targets["test"]
    assert not targets["test"] & targets["valid"]
    assert not (targets["test"] | targets["valid"]) & targets["train"]


def test_one_split_may_be_named_and_the_other_held_out(tmp_path: Path) -> None:
    _, pairs = held_out_of(files(tmp_path, SENTENCES), valid="dev", splits={"test": 0.2})
    assert pairs["valid"] == [("Guten Tag!", "Good day!"), ("", "")]
    assert 40 < len(pairs["test"]) < 120


def test_splits_that_hold_nothing_out_say_what_they_look_for(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        held_out_of(files(tmp_path, [("ein Wort", "a word")] * 9), splits={"valid": 0.4, "test": 0.4})
    assert (
        "no test pair is left of the 0 that `splits` holds out: 40.00% of sentences of 4 to 40 words"
        in str(caught.value)
    )
    assert not (tmp_path / "out" / "corpus.json").exists()


def test_a_dataset_without_a_split_says_so(tmp_path: Path) -> None:
    (tmp_path / "only.yaml").write_text(
        "name: only\nabout: x\nlanguages: [de, en]\nlicence: CC0-1.0\nattribution: me\n"
        "parts:\n  - {source: {kind: path, path: t.tsv}, reader: {kind: tsv, columns: {de: 1, en: 2}}}\n"
    )
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(DataError, match=r"only\.yaml has no valid pairs for de-en"):
        build(files(tmp_path, []), train=[{"dataset": "only.yaml"}], valid=None, test=None)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = files(tmp_path, [(f"s {n % 9}", f"t {n % 5}") for n in range(99)])
    build(folder, filters=[{"duplicates": {"of": "source-or-target", "fold": True}}])
    first = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    build(folder, filters=[{"duplicates": {"of": "source-or-target", "fold": True}}])
    assert first == {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
