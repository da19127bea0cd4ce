from pathlib import Path

import pytest

from mtkit.config.nodes import ListNode, MapNode, ScalarNode, Text, plain
from mtkit.config.problems import RecipeProblemsError
from mtkit.config.reader import read_yaml
from mtkit.errors import RecipeError


def read(text: str) -> object:
    return plain(read_yaml(Text("a.yaml", text)))


def test_every_key_and_value_knows_its_line_and_column() -> None:
    node = read_yaml(Text("a.yaml", "one: 1\ntwo:\n  - x\n  - {three: 3}\n"))
    assert isinstance(node, MapNode)
    two = node.get("two")
    assert isinstance(two, ListNode)
    inner = two.items[1]
    assert isinstance(inner, MapNode)
    three = inner.entries["three"]
    assert (three.key.line, three.key.column) == (4, 6)
    assert isinstance(three.value, ScalarNode)
    assert (three.value.place.line, three.value.place.column) == (4, 13)


def test_norwegian_is_not_false() -> None:
    assert read("target: no") == {"target": "no"}


def test_quotes_make_text_of_anything() -> None:
    assert read("a: '5'\nb: \"true\"\nc: ''") == {"a": "5", "b": "true", "c": ""}


def test_block_texts_are_read() -> None:
    assert read("a: |\n  one\n  two\nb: >-\n  three\n  four\n") == {"a": "one\ntwo\n", "b": "three four"}


def test_windows_line_ends_are_read() -> None:
    assert read("a: 1\r\nb: x\r\n") == {"a": 1, "b": "x"}


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert plain(read_yaml(path)) == {"a": 1}


def test_all_repeated_keys_are_told_together() -> None:
    with pytest.raises(RecipeProblemsError) as caught:
        read("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [(p.path, p.place.line) for p in caught.value.problems] == [("a", 2), ("b.c", 3)]


def test_a_missing_file_is_the_recipes_fault(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file") as caught:
        read_yaml(tmp_path / "none.yaml")
    assert caught.value.exit_code == 2
    assert str(tmp_path / "none.yaml") in caught.value.where


def test_bytes_that_are_not_utf8_are_told_with_line_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(RecipeError, match="0xff at offset 8") as caught:
        read_yaml(path)
    assert caught.value.where == f"{path}:2"


def test_very_deep_nesting_is_refused_without_exhausting_the_stack() -> None:
    with pytest.raises(RecipeProblemsError, match="problem"):
        read("a: " + "[" * 5000 + "]" * 5000)
