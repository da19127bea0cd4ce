"""What a recipe inherits and what has no effect beside its own settings: left out, for it stands elsewhere.

Whoever writes a recipe can remove what stands there, and is told of it. What a base gives, or a stage by
`like`, can only be overridden, and some settings have no value that means nothing.
"""

from collections.abc import Iterable

from mtkit.config.checking import check_settings
from mtkit.config.graph import Draft
from mtkit.config.head import STRUCTURE
from mtkit.config.nodes import Entry, MapNode, find
from mtkit.config.problems import Problem


def leave_out_idle(draft: Draft, problems: Iterable[Problem], file: str) -> bool:
    """Leave out of a stage what was inherited and has no effect.

    Args:
        draft: the stage; its settings are changed.
        problems: of the stage.
        file: the recipe's own, as places name it.

    Returns:
        True if something was left out, so that the stage is to be checked again.
    """
    # all are judged by the stage as it was found
    idle = [
        _inner(draft, problem) for problem in problems if problem.idle and _is_inherited(draft, problem, file)
    ]
    for path in idle:
        draft.node = _without(draft.node, path)
    return bool(idle)


def _inner(draft: Draft, problem: Problem) -> tuple[str, ...]:
    """The path within the stage."""
    return tuple(problem.path.removeprefix(f"stages.{draft.name}.").split("."))


def _is_inherited(draft: Draft, problem: Problem, file: str) -> bool:
    """True unless the setting was written here, or in a base that is itself the reason for the problem."""
    if find(draft.own, draft.key, _inner(draft, problem)).span != problem.place:
        return True  # by `like`: where it comes from, it is told if it has no effect there either
    if problem.place.file == file or not problem.place.text.is_file:
        return False
    assert draft.kind is not None
    alone: list[Problem] = []
    base = _of_file(draft.own.without(*STRUCTURE), problem.place.file)
    path = ("stages", draft.name)
    check_settings(base, draft.kind.settings, path=path, key=draft.key, problems=alone)
    return not any(one.idle and one.place == problem.place for one in alone)


def _of_file(node: MapNode, file: str) -> MapNode:
    """The settings of a mapping that stand in one file."""
    kept = {}
    for key, entry in node.entries.items():
        value = _of_file(entry.value, file) if isinstance(entry.value, MapNode) else entry.value
        if entry.key.file == file or (isinstance(value, MapNode) and value.entries):
            kept[key] = Entry(entry.key, value)
    return MapNode(kept, node.place)


def _without(node: MapNode, path: tuple[str, ...]) -> MapNode:
    """The same mapping without what stands at a path."""
    key, *rest = path
    if not rest:
        return node.without(key)
    entry = node.entries[key]
    assert isinstance(entry.value, MapNode), "what has no effect is a key of a mapping"
    return MapNode({**node.entries, key: Entry(entry.key, _without(entry.value, tuple(rest)))}, node.place)
