"""Where a setting's value comes from: a line of a file, the command line, or the settings class."""

from mtkit.config.nodes import ListNode, MapNode, Node, Path, ScalarNode

DEFAULT = "default"


def origin(node: Node, path: Path) -> str:
    """`file:line`, `--set` or `default` for the value at `path` below `node`."""
    label = DEFAULT
    current: Node = node
    for part in path:
        if isinstance(current, MapNode) and part in current.entries:
            entry = current.entries[str(part)]
            label, current = entry.key.label, entry.value
        elif isinstance(current, ListNode) and isinstance(part, int):
            current = current.items[part]
            label = current.place.label
        elif isinstance(part, int):
            continue  # one value stands for a list of one
        elif isinstance(current, ScalarNode) and isinstance(current.value, str):
            return label  # a text stands for the whole mapping, as a stem does
        else:
            return DEFAULT
    if isinstance(current, ScalarNode) and current.place.start < current.place.end:
        return current.place.label
    return label
