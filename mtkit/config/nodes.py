"""The tree of a YAML text in which every key and every value knows its place: file, line, column.

Here live places, nodes and merging. How text becomes nodes is in `reader.py`.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

Plain: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Text:
    """A text that nodes were read from.

    Args:
        name: how messages call it: the path of a file, or `--set`.
        content: the whole text.
        is_file: False for a command line's text, which has no line numbers worth telling.
    """

    name: str
    content: str
    is_file: bool = True

    @cached_property
    def _starts(self) -> list[int]:
        content = self.content
        return [0] + [at + 1 for at, character in enumerate(content) if character == "\n"]

    def line_number(self, offset: int) -> int:
        """The line, from 1, that holds the character at `offset`."""
        return bisect_right(self._starts, offset)

    def line_start(self, offset: int) -> int:
        """The offset of the first character of that line."""
        return self._starts[self.line_number(offset) - 1]

    def line(self, offset: int) -> str:
        """That line, without its end."""
        start = self.line_start(offset)
        end = self.content.find("\n", start)
        return self.content[start : end if end >= 0 else None].rstrip("\r")


@dataclass(frozen=True)
class Place:
    """A stretch of a text: characters `start` up to `end`; one of length 0 has no caret."""

    text: Text
    start: int
    end: int

    @property
    def file(self) -> str:
        """The name of the text."""
        return self.text.name

    @property
    def line(self) -> int:
        """The line of the first character, from 1."""
        return self.text.line_number(self.start)

    @property
    def column(self) -> int:
        """The column of the first character, from 1."""
        return self.start - self.text.line_start(self.start) + 1

    @property
    def label(self) -> str:
        """`file:line`, or `--set`: where a value comes from."""
        return f"{self.file}:{self.line}" if self.text.is_file else self.file

    def to(self, other: "Place") -> "Place":
        """From here to the end of `other`, if both are of one text and in this order; else this place."""
        if other.text is self.text and other.end >= self.end:
            return Place(self.text, self.start, other.end)
        return self


@dataclass(frozen=True)
class ScalarNode:
    """One value: text, number, true, false or null."""

    value: Plain
    place: Place
    quoted: bool = False


@dataclass(frozen=True)
class ListNode:
    """A list."""

    items: tuple["Node", ...]
    place: Place


@dataclass(frozen=True)
class Entry:
    """A key's place and its value."""

    key: Place
    value: "Node"


@dataclass(frozen=True)
class MapNode:
    """A mapping with text keys, in the order they were written."""

    entries: Mapping[str, Entry]
    place: Place

    def get(self, key: str) -> "Node | None":
        """The value of a key, or None."""
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def without(self, *keys: str) -> "MapNode":
        """The same mapping with some keys left out."""
        kept = {key: entry for key, entry in self.entries.items() if key not in keys}
        return MapNode(kept, self.place)


Node: TypeAlias = ScalarNode | ListNode | MapNode


def plain(node: Node) -> Any:
    """The bare value of a node: dict, list, text, number, bool or None."""
    if isinstance(node, MapNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def merge(base: Node, over: Node) -> Node:
    """`over` laid upon `base`: mappings merge key by key, everything else replaces.

    A mapping whose `kind` differs from the base's replaces it whole: the settings of one kind mean
    nothing to another.
    """
    if not isinstance(base, MapNode) or not isinstance(over, MapNode) or _kinds_differ(base, over):
        return over
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        known = entries.get(key)
        entries[key] = entry if known is None else Entry(entry.key, merge(known.value, entry.value))
    return MapNode(entries, over.place)


def _kinds_differ(base: MapNode, over: MapNode) -> bool:
    old, new = base.get("kind"), over.get("kind")
    return old is not None and new is not None and plain(old) != plain(new)


def dotted(path: Path) -> str:
    """`("stages", "train", "until")` as `stages.train.until`."""
    return ".".join(str(part) for part in path)


@dataclass(frozen=True)
class Found:
    """Where a path leads in a tree.

    Attributes:
        place: of the value, or of the nearest key above it that exists.
        span: the same from its key on, if it has one.
        node: the value, or None where the path leads to nothing.
    """

    place: Place
    span: Place
    node: Node | None


def find(root: Node, key: Place, path: Path) -> Found:
    """Follow a path down from `root`, whose own key stands at `key`."""
    node = root
    for part in path:
        if isinstance(node, MapNode) and part in node.entries:
            entry = node.entries[str(part)]
            key, node = entry.key, entry.value
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            key = node.place
        else:
            return Found(key, key, None)
    on_the_line = isinstance(node, ScalarNode) or (
        key.text is node.place.text and key.line == node.place.line
    )
    if on_the_line and node.place.start < node.place.end:
        return Found(node.place, key.to(node.place), node)
    return Found(key, key, node)
