"""YAML, read strictly: repeated keys, anchors, aliases, merge keys and tags are refused.

Scalars follow YAML 1.2 (`scalars.py`); every key and value keeps its place (`nodes.py`). This is the
only module that imports yaml. What the values mean is none of its business.
"""

from collections.abc import Iterator
from pathlib import Path as FilePath

import yaml

from mtkit.config.nodes import Entry, ListNode, MapNode, Node, Path, Place, ScalarNode, Text, dotted
from mtkit.config.problems import Problem, RecipeProblemsError
from mtkit.config.scalars import scalar_value
from mtkit.config.syntax import syntax_problem
from mtkit.errors import DataError, RecipeError
from mtkit.files import read_text

_DEEPEST = 40  # levels of nesting; no recipe needs a quarter of it
_INSTEAD = "Write the values out; recipes share settings through `base:` and `like:`."


class _TooDeepError(Exception):
    """Nesting without end."""


def read_yaml(source: FilePath | Text) -> Node:
    """Read a YAML file, or a text that is already there.

    Returns:
        The tree of the one document.

    Raises:
        RecipeError: with every problem: syntax, repeated keys, anchors, tags, an empty or unreadable file.
    """
    text = source if isinstance(source, Text) else read_source(source)
    problems: list[Problem] = []
    node = parse(text, problems)
    if problems or node is None:
        raise RecipeProblemsError(problems, text.name)
    return node


def read_source(path: FilePath) -> Text:
    """The text of a YAML file.

    Raises:
        RecipeError: the file is missing, a directory, or not UTF-8.
    """
    try:
        return Text(str(path), read_text(path))
    except DataError as error:
        raise RecipeError(
            error.found, where=error.where, expected=error.expected, advice=error.advice
        ) from error


def parse(text: Text, problems: list[Problem], offset: int = 0) -> Node | None:
    """Parse a text from `offset` on, adding what is wrong to `problems`.

    Returns:
        The tree, without what was refused; None where there is nothing or the syntax is broken.
    """
    composer = _Composer(text, offset, problems)
    try:
        return composer.document()
    except yaml.YAMLError as error:
        problems.append(syntax_problem(error, text, offset))
    except _TooDeepError:
        problems.append(
            Problem(composer.here, "", f"nested more than {_DEEPEST} levels deep", "a recipe", "Flatten it.")
        )
    return None


class _Composer:
    """Events of the parser to nodes with places."""

    def __init__(self, text: Text, offset: int, problems: list[Problem]) -> None:
        self._text, self._offset, self._problems = text, offset, problems
        self._events: Iterator[yaml.Event] = yaml.parse(text.content[offset:], Loader=yaml.SafeLoader)
        self.here = Place(text, offset, offset)

    def document(self) -> Node | None:
        """The one document of the stream."""
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return self._nothing()
        node = self._node(self._next(), ())
        self._next()  # the document's end
        if not isinstance(self._next(), yaml.StreamEndEvent):
            self._refuse((), "a second document", "one document a file", "Remove the line `---`.")
        if isinstance(node, ScalarNode) and node.value is None and self._text.is_file:
            return self._nothing()
        return node

    def _nothing(self) -> Node | None:
        place = Place(self._text, self._offset, self._offset)
        if not self._text.is_file:
            return ScalarNode(None, place)
        self._problems.append(Problem(place, "", "the file is empty", "a mapping, such as `recipe: NAME`"))
        return None

    def _next(self) -> yaml.Event:
        event = next(self._events)
        start, end = event.start_mark, event.end_mark
        assert start is not None and end is not None
        self.here = Place(self._text, self._offset + start.index, self._offset + end.index)
        return event

    def _refuse(self, path: Path, found: str, expected: str = "", advice: str = "") -> None:
        place = (
            self.here
            if self.here.start < self.here.end
            else Place(self._text, self.here.start, self.here.start + 1)
        )
        self._problems.append(Problem(place, dotted(path), found, expected, advice, final=bool(path)))

    def _node(self, event: yaml.Event, path: Path) -> Node:
        if len(path) > _DEEPEST:
            raise _TooDeepError
        place = self.here
        if isinstance(event, yaml.AliasEvent):
            self._refuse(path, f"an alias (`*{event.anchor}`)", "the value itself", _INSTEAD)
            return ScalarNode(None, place)
        assert isinstance(event, yaml.NodeEvent)
        self._check_properties(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(place, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(place, path)
        assert isinstance(event, yaml.ScalarEvent)
        quoted = event.style is not None
        return ScalarNode(event.value if quoted else scalar_value(event.value), place, quoted)

    def _check_properties(self, event: yaml.NodeEvent, path: Path) -> None:
        if event.anchor is not None:
            self._refuse(path, f"an anchor (`&{event.anchor}`)", "a value without one", _INSTEAD)
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(
                path, f"a tag (`{short}`)", "a plain value", "Remove the tag; quotes make any value a text."
            )

    def _list(self, start: Place, path: Path) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return ListNode(tuple(items), start.to(self.here))

    def _map(self, start: Place, path: Path) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, place = self._key(event, path), self.here
            value = self._node(self._next(), (*path, key or "?"))
            if key is None:
                continue
            if key in entries:
                first = entries[key].key.line
                self._problems.append(
                    Problem(
                        place,
                        dotted((*path, key)),
                        "given twice" + (f", first in line {first}" if self._text.is_file else ""),
                        "each key once",
                        "Keep one of them.",
                    )
                )
                continue
            entries[key] = Entry(place, value)
        return MapNode(entries, start.to(self.here))

    def _key(self, event: yaml.Event, path: Path) -> str | None:
        """A key's text; None, with a problem noted, where it is no text."""
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(
                path, "a list or a mapping as a key", "text", "Check brackets and braces on this line."
            )
            self._node(event, (*path, "?"))
            return None
        if event.value == "<<" and event.style is None:
            self._refuse(path, "a merge key (`<<`)", "keys with values", _INSTEAD)
            return None
        node = self._node(event, path)
        assert isinstance(node, ScalarNode)
        if not isinstance(node.value, str):
            said = f"the key {event.value}" if event.value else "an empty key"
            self._refuse(
                path, said, "text", "Put it in quotes." if event.value else "Write a key before the `:`."
            )
            return None
        return node.value
