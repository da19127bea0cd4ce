from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.nodes import MapNode, Node, Text, merge, plain
from mtkit.config.reader import parse, read_yaml
from mtkit.config.scalars import scalar_text
from mtkit.errors import RecipeError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# for the laws of merging: a key holds a number everywhere or a mapping everywhere, as in recipes
NUMBERS = {key: st.integers(0, 9) for key in "ab"}
INNER = st.fixed_dictionaries({}, optional=NUMBERS)
MIDDLE = st.fixed_dictionaries({}, optional={**NUMBERS, "c": INNER, "d": INNER})
MAPPINGS = st.fixed_dictionaries({}, optional={**NUMBERS, "c": MIDDLE, "d": MIDDLE})


def flow(value: Any) -> str:
    """Any value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar_text(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    return "[" + ", ".join(map(flow, value)) + "]" if isinstance(value, list) else scalar_text(value)


def node(value: Any) -> Node:
    return read_yaml(Text("a.yaml", f"a: {flow(value)}"))


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_again_with_its_type(value: Any) -> None:
    read = plain(node(value))["a"]
    assert read == value
    assert repr(read) == repr(value)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text("ab:-[]{}'\",&*!|>%@`# \n\t?~0", max_size=40))
def test_any_text_is_read_or_refused_with_a_place_and_never_crashes(text: str) -> None:
    try:
        read_yaml(Text("a.yaml", text))
    except RecipeError as error:
        assert str(error).startswith("a.yaml")
        assert "Nothing was run." in str(error)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_every_place_lies_on_its_value(value: Any) -> None:
    text = Text("a.yaml", f"key: {flow(value)}")
    tree = parse(text, [])
    assert isinstance(tree, MapNode)
    entry = tree.entries["key"]
    assert text.content[entry.key.start : entry.key.end] == "key"
    assert text.content[entry.value.place.start : entry.value.place.end].strip() == flow(value)


@settings(max_examples=100, deadline=None)
@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_merging_plain_mappings_is_associative(a: Any, b: Any, c: Any) -> None:
    one, two, three = node(a), node(b), node(c)
    assert plain(merge(merge(one, two), three)) == plain(merge(one, merge(two, three)))


@settings(max_examples=60, deadline=None)
@given(MAPPINGS)
def test_merging_a_mapping_with_itself_or_with_nothing_changes_nothing(a: Any) -> None:
    one = node(a)
    empty = read_yaml(Text("b.yaml", "{}"))
    assert plain(merge(one, one)) == plain(merge(empty, one)) == plain(merge(one, empty)) == plain(one)
