from mtkit.config.nodes import MapNode, Node, Place, Text, find, merge, plain
from mtkit.config.reader import read_yaml


def read(text: str, name: str = "a.yaml") -> MapNode:
    node = read_yaml(Text(name, text))
    assert isinstance(node, MapNode)
    return node


def merged(base: str, over: str) -> object:
    return plain(merge(read(base), read(over)))


def test_mappings_merge_and_everything_else_replaces() -> None:
    assert merged("a: {x: 1, y: [1, 2]}\nb: 2", "a: {y: [3], z: 4}\nc: 5") == {
        "a": {"x": 1, "y": [3], "z": 4},
        "b": 2,
        "c": 5,
    }


def test_a_mapping_of_another_kind_replaces_the_whole_mapping() -> None:
    assert merged("a: {kind: one, x: 1}", "a: {kind: two, y: 2}") == {"a": {"kind": "two", "y": 2}}


def test_a_mapping_of_the_same_or_no_kind_merges() -> None:
    assert merged("a: {kind: one, x: 1}", "a: {kind: one, y: 2}") == {"a": {"kind": "one", "x": 1, "y": 2}}
    assert merged("a: {kind: one, x: 1}", "a: {y: 2}") == {"a": {"kind": "one", "x": 1, "y": 2}}


def test_a_merged_value_keeps_the_place_it_was_written_at() -> None:
    node = merge(read("a:\n  x: 1\n  y: 2", "base.yaml"), read("\n\na:\n  y: 3", "over.yaml"))
    x, y = (find(node, Place(Text("", ""), 0, 0), ("a", key)).place for key in "xy")
    assert (x.label, y.label) == ("base.yaml:2", "over.yaml:4")


def test_a_path_that_leads_to_nothing_points_at_the_nearest_key_above() -> None:
    node = read("a:\n  b:\n    c: 1")
    found = find(node, node.place, ("a", "b", "missing"))
    assert found.node is None
    assert (found.place.line, found.place.column) == (2, 3)


def test_lines_and_columns_count_from_one_and_only_newline_ends_a_line() -> None:
    text = Text("x", "a\u2028b\rc\nd\x85e")
    place = Place(text, text.content.index("e"), text.content.index("e") + 1)
    assert (place.line, place.column) == (2, 3)
    assert text.line(0) == "a\u2028b\rc"


def test_a_key_and_its_value_span_one_stretch() -> None:
    node: Node = read("alpha: 12")
    found = find(node, node.place, ("alpha",))
    assert (found.span.start, found.span.end) == (0, 9)
