"""`--set a.b=value`: one value laid over the recipe, read by the same reader."""

from collections.abc import Sequence

from mtkit.config.nodes import Entry, ListNode, MapNode, Node, Place, Text, dotted, merge
from mtkit.config.problems import Problem
from mtkit.config.reader import parse

_OF_A_RECIPE = "stages.train.model.heads=8"


def apply_overrides(
    root: MapNode, overrides: Sequence[str], problems: list[Problem], example: str = _OF_A_RECIPE
) -> MapNode:
    """The recipe with every `--set` laid over it, in order; what is wrong with one goes to `problems`.

    Args:
        root: the recipe, or other settings.
        overrides: `path=value`.
        problems: is added to.
        example: of an override, for whoever wrote none.
    """
    given: set[str] = set()
    for override in overrides:
        text = Text("--set", override, is_file=False)
        keys, equals, _ = override.partition("=")
        parts = _parts(text, keys)
        whole = Place(text, 0, max(len(keys), 1))
        if not equals or not all(part for part, _ in parts):
            whole = Place(text, 0, max(len(override), 1))
            problems.append(Problem(whole, "", "not an assignment", f"`path=value`, such as {example}"))
        elif keys in given:
            problems.append(Problem(whole, keys, "given twice by `--set`", "each setting once"))
        elif parts[0][0] == "base":
            problems.append(Problem(whole, keys, "`base` cannot be set from here", "`base:` in a file"))
        elif (node := parse(text, problems, offset=len(keys) + 1)) is not None:
            given.add(keys)
            root = _set(root, parts, node, problems)
    return root


def _parts(text: Text, keys: str) -> list[tuple[str, Place]]:
    """The keys of a dotted path with their places."""
    # what is expected bears names with a dot in them: expect.test.bleu
    most = 1 if keys.startswith("expect.") else -1
    parts, at = [], 0
    for part in keys.split(".", most):
        parts.append((part.strip(), Place(text, at, at + max(len(part), 1))))
        at += len(part) + 1
    return parts


def _set(root: MapNode, parts: list[tuple[str, Place]], value: Node, problems: list[Problem]) -> MapNode:
    try:
        result = _laid(root, parts, value)
    except _NoItemError as error:
        path = dotted(tuple(part for part, _ in parts))
        problems.append(Problem(error.place, path, error.found, error.expected))
        return root
    assert isinstance(result, MapNode)
    return result


class _NoItemError(Exception):
    def __init__(self, part: str, place: Place, count: int) -> None:
        self.place = place
        self.found = f"no item {part} in a list of {count}"
        self.expected = f"an item from 0 to {count - 1}" if count > 1 else "item 0" if count else ""


def _laid(node: Node | None, parts: list[tuple[str, Place]], value: Node) -> Node:
    """`node` with `value` laid over what stands at the end of `parts`."""
    if not parts:
        return value if node is None else merge(node, value)
    (part, place), rest = parts[0], parts[1:]
    if isinstance(node, ListNode) and part.isascii() and part.isdigit():
        index = int(part)
        if index >= len(node.items):
            raise _NoItemError(part, place, len(node.items))
        item = _laid(node.items[index], rest, value)
        return ListNode((*node.items[:index], item, *node.items[index + 1 :]), node.place)
    known = node.entries.get(part) if isinstance(node, MapNode) else None
    # a mapping on the way stays where it is; only what is set comes from the command line
    key = known.key if known is not None and rest else place
    entry = Entry(key, _laid(known.value if known else None, rest, value))
    entries = dict(node.entries) if isinstance(node, MapNode) else {}
    return MapNode({**entries, part: entry}, node.place if isinstance(node, MapNode) else place)
