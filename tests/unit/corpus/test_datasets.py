import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.dataset import card_from
from mtkit.corpus.cards import FoundCard, find_card_with_folder
from mtkit.corpus.dataset_identity import dataset_identity, dataset_place
from mtkit.corpus.datasets import export, prepare
from mtkit.corpus.fold import fold
from mtkit.errors import DataError
from mtkit.files import read_json

CLEAN = {
    "strip": ["markup"],
    "filters": [{"letters": {"min": 2}}, {"duplicates": {"of": "source-or-target", "fold": True}}],
}


def silent(_: str) -> None:
    pass


def made(folder: Path, pairs: list[tuple[str, str]], **more: Any) -> FoundCard:
    folder.mkdir(exist_ok=True)
    (folder / "t.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    card = {
        "name": "made",
        "about": "x",
        "languages": ["en", "de"],
        "licence": "CC0-1.0",
        "attribution": "me",
        "parts": [
            {
                "source": {"kind": "path", "path": "t.tsv"},
                "reader": {"kind": "tsv", "columns": {"en": 1, "de": 2}},
            }
        ],
        "clean": CLEAN,
        "splits": {"by": "en", "valid": 0.1, "test": 0.1, "min_words": 3},
        **more,
    }
    return FoundCard(card_from(card), folder)


def sentences(count: int) -> list[tuple[str, str]]:
    words = ["alpha", "beta", "gamma", "delta", "omega", "kappa", "sigma"]

    def spelled(n: int) -> str:
        return " ".join(words[n // 7**k % 7] for k in range(4))

    return [(f"say {spelled(n)}", f"sage <b>{spelled(n)}</b>!") for n in range(count)]


def split_of(folder: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        split: list(
            zip(
                (folder / f"{split}.source").read_text("utf-8").split("\n")[:-1],
                (folder / f"{split}.target").read_text("utf-8").split("\n")[:-1],
                strict=True,
            )
        )
        for split in ("train", "valid", "test")
    }


def test_pairs_are_stripped_filtered_and_divided(tmp_path: Path) -> None:
    found = made(tmp_path / "d", [*sentences(500), ("x", "y")])
    folder = prepare(found, "en", "de", silent)
    splits = split_of(folder)
    assert sum(map(len, splits.values())) == 500
    assert all("<b>" not in target for pairs in splits.values() for _, target in pairs)
    record = read_json(folder / "dataset.json")
    assert record["pairs"] == {name: len(pairs) for name, pairs in splits.items()}
    assert record["read"] == 501
    assert record["filters"] == [{"filter": "letters", "removed": 1, "examples": [["x", "y"]]}]
    assert not (folder / ".scratch").exists()


def test_growth_moves_no_pair_to_another_split(tmp_path: Path) -> None:
    small = split_of(prepare(made(tmp_path / "a", sentences(300)), "en", "de", silent))
    more = sentences(900)
    large = split_of(prepare(made(tmp_path / "b", more[600:] + more[:600]), "en", "de", silent))
    for split, pairs in small.items():
        assert pairs
        assert set(pairs) <= set(large[split])


def test_no_held_out_sentence_of_either_side_is_in_training(tmp_path: Path) -> None:
    pairs = sentences(400)
    echoes = [(a.upper() + "?", b + " again") for a, b in pairs] + [
        (a + " again", b.replace("!", "")) for a, b in pairs
    ]
    clean = {"strip": ["markup"], "filters": []}
    splits = split_of(prepare(made(tmp_path / "a", pairs + echoes, clean=clean), "en", "de", silent))
    for side in (0, 1):
        folded = {name: {fold(pair[side], "light") for pair in found} for name, found in splits.items()}
        assert folded["test"]
        assert not folded["train"] & (folded["test"] | folded["valid"])
        assert not folded["valid"] & folded["test"]


def test_both_directions_hold_out_the_same_pairs(tmp_path: Path) -> None:
    found = made(tmp_path / "a", sentences(300))
    there = split_of(prepare(found, "en", "de", silent))
    back = split_of(prepare(found, "de", "en", silent))
    assert {(b, a) for a, b in there["test"]} == set(back["test"])


def test_a_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(tmp_path / "a", sentences(50))
    first = prepare(found, "en", "de", silent)
    monkeypatch.setattr("mtkit.corpus.datasets.read_part", None)
    assert prepare(found, "en", "de", silent) == first


def test_identity_follows_content_and_languages_but_not_place(tmp_path: Path) -> None:
    one, same = made(tmp_path / "a", sentences(9)), made(tmp_path / "b", sentences(9))
    other = made(tmp_path / "c", sentences(10))
    assert dataset_identity(one, "en", "de") == dataset_identity(same, "en", "de")
    assert dataset_identity(one, "en", "de") != dataset_identity(other, "en", "de")
    assert dataset_identity(one, "en", "de") != dataset_identity(one, "de", "en")


def test_a_given_test_set_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "test.tsv").write_text("x\ty\nsame\tgleich\nsame\tgleich\n")
    reader = {"kind": "tsv", "columns": {"en": 1, "de": 2}}
    found = made(
        tmp_path / "a",
        [("same!", "anders hier"), ("other word", "anderes Wort")],
        parts=[
            {"split": "train", "source": {"kind": "path", "path": "t.tsv"}, "reader": reader},
            {"split": "test", "source": {"kind": "path", "path": "test.tsv"}, "reader": reader},
        ],
    )
    splits = split_of(prepare(found, "en", "de", silent))
    assert splits["test"] == [("x", "y"), ("same", "gleich"), ("same", "gleich")]
    assert splits["train"] == [("other word", "anderes Wort")]


def test_nothing_left_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    found = made(tmp_path / "a", [("1", "2")])
    with pytest.raises(DataError, match="no pair is left of the 1 read from made"):
        prepare(found, "en", "de", silent)
    place = dataset_place(found, "en", "de")
    assert list(place.parent.iterdir()) == []


def test_export_writes_the_languages_as_endings_and_leaves_out_empty_splits(tmp_path: Path) -> None:
    found = made(tmp_path / "a", sentences(20), splits=None)
    written = export(prepare(found, "en", "de", silent), tmp_path / "out", "en", "de")
    assert [path.name for path in written] == ["train.en", "train.de"]
    assert written[0].read_text().startswith("say alpha alpha alpha alpha\n")


def test_a_network_card_works_from_address_to_splits(server: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(server.folder / "de-en.txt.zip", "w") as archive:
        pairs = sentences(200)
        archive.writestr("Books.de-en.en", "".join(f"{a}\n" for a, _ in pairs))
        archive.writestr("Books.de-en.de", "".join(f"{b}\n" for _, b in pairs))
        archive.writestr("README", "x")
    parts = [
        {
            "source": {"kind": "url", "url": f"{server.url}/{{first}}-{{second}}.txt.zip", "sha256": None},
            "reader": {"kind": "lines", "path": "Books.{first}-{second}.{language}"},
        }
    ]
    folder = prepare(made(tmp_path / "a", [], parts=parts, network=True), "en", "de", silent)
    assert json.loads((folder / "dataset.json").read_text())["read"] == 200
    assert len(server.requests) == 1


def test_the_shipped_starter_and_reverse_cards_run(tmp_path: Path) -> None:
    starter = split_of(prepare(find_card_with_folder("starter"), "de", "en", silent))
    assert [len(starter[name]) for name in ("train", "valid", "test")] == [317, 30, 30]
    reverse = split_of(prepare(find_card_with_folder("reverse"), "src", "tgt", silent))
    assert [len(reverse[name]) for name in ("train", "valid", "test")] == [10_000, 200, 200]
