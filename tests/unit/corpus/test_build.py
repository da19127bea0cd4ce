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
