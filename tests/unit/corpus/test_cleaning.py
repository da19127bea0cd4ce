from pathlib import Path

from mtkit.config.corpus import Filter
from mtkit.corpus.chunk import Chunk
from mtkit.corpus.cleaning import EXAMPLE_CHARACTERS, Cleaner, normalized


def cleaner(tmp_path: Path, *filters: dict[str, object]) -> Cleaner:
    return Cleaner([Filter.model_validate(item) for item in filters], tmp_path)


def test_each_removed_pair_is_counted_by_the_first_filter_that_removes_it(tmp_path: Path) -> None:
    wash = cleaner(tmp_path, {"length": {"max": 2}}, {"copies": {}}, {"duplicates": {}})
    left = wash.clean(Chunk(["a b c", "a", "b", "b", ""], ["a b c", "a", "x", "x", "y"]))
    assert left.texts == {"source": ["b"], "target": ["x"]}
    assert [(r["filter"], r["removed"]) for r in wash.records()] == [
        ("empty", 1),
        ("length", 1),
        ("copies", 1),
        ("duplicates", 1),
    ]
    assert wash.read == 5


def test_at_most_five_examples_are_shown_and_cut(tmp_path: Path) -> None:
    wash = cleaner(tmp_path, {"length": {"max": 1}})
    wash.clean(Chunk(["a b"] * 9, ["x" * 999] * 9))
    (record,) = wash.records()
    assert (record["removed"], len(record["examples"])) == (9, 5)
    assert len(record["examples"][0][1]) == EXAMPLE_CHARACTERS


def test_a_removed_pair_is_not_seen_by_the_filters_after(tmp_path: Path) -> None:
    wash = cleaner(tmp_path, {"length": {"max": 1}}, {"duplicates": {"of": "target"}})
    left = wash.clean(Chunk(["a b", "a"], ["x", "x"]))
    assert left.texts["source"] == ["a"]


def test_pairs_are_normalised_side_by_side() -> None:
    (chunk,) = normalized([(["a\u00a0 b"], ["\x00c"])], "nfc")
    assert chunk.texts == {"source": ["a b"], "target": ["c"]}
