"""A mapping of the recipe to a settings object, or to every problem that stands in the way.

Unknown keys are found by walking the tree beside the class; values are judged by pydantic, and its
verdicts are said again for people; last come the findings between settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from mtkit.config.fields import Shape, class_for, fields_of
from mtkit.config.findings import findings
from mtkit.config.judging import ValidationError
from mtkit.config.nearest import did_you_mean
from mtkit.config.nodes import ListNode, MapNode, Node, Path, Place, ScalarNode, dotted, find, plain
from mtkit.config.problems import Problem
from mtkit.config.settings import Finding, Settings
from mtkit.config.words import advice_for, expected_words, found_words

Hint = Callable[[str, Path, Sequence[str]], str]
MANY_KEYS = 14  # more than this and the list of known keys is no help


def nearest_hint(key: str, _path: Path, known: Sequence[str]) -> str:
    """The nearest key of the same mapping."""
    return did_you_mean(key, known)


@dataclass(frozen=True)
class _At:
    """A mapping being checked, and where it hangs in the recipe."""

    path: Path
    key: Place
    problems: list[Problem]
    hint: Hint
    bad: set[Path]

    def report(self, path: Path, place: Place, found: str, expected: str = "", advice: str = "") -> None:
        self.bad.add(path)
        self.problems.append(Problem(place, dotted(self.path + path), found, expected, advice))


def check_settings(
    node: MapNode,
    settings_class: type[Settings],
    *,
    path: Path,
    key: Place,
    problems: list[Problem],
    hint: Hint = nearest_hint,
    judge_together: bool = True,
) -> Settings | None:
    """Make a settings object of a mapping.

    Args:
        node: the mapping.
        settings_class: its class.
        path: where the mapping stands in the recipe.
        key: the place to point at for what is missing.
        problems: everything that is wrong is added here.
        hint: given an unknown key, the path of its mapping and the keys known there, what is meant, or "".
        judge_together: look for findings between settings as well.

    Returns:
        The object, or None if anything was wrong.
    """
    at = _At(path, key, problems, hint, set())
    shape = Shape(classes={"": settings_class})
    data = _completed(node, shape, None, (), at)
    settings = _validated(data, settings_class, node, at)
    for inner, finding in _sound_findings(data, shape, (), at) if judge_together else ():
        problems.append(problem_of(finding, inner, path, node, key))
        at.bad.add(inner)
    return None if at.bad else settings


def problem_of(finding: Finding, inner: Path, path: Path, node: MapNode, key: Place) -> Problem:
    """A finding with its place: that of as much of its path as is written, `key` if nothing is.

    Args:
        finding: a problem between settings.
        inner: where the object that found it stands in the mapping.
        path: where the mapping stands in the recipe.
        node: the mapping.
        key: the place of its own key.
    """
    whole = inner + finding.path
    told = _existing(node, whole)
    is_key = told == whole and all(isinstance(part, str) for part in told)  # a list is written as a whole
    return Problem(
        find(node, key, told).span,
        dotted(path + told),
        finding.found,
        finding.expected,
        finding.advice,
        idle=finding.idle and is_key,
    )


def _sound_findings(data: Any, shape: Shape, path: Path, at: _At) -> list[tuple[Path, Finding]]:
    """The findings of every object in which nothing has been found wrong yet.

    An object with a wrong value inside is left alone: its settings are not known well enough.
    """
    if shape.item is not None and isinstance(data, list):
        item = shape.item
        return [f for i, child in enumerate(data) for f in _sound_findings(child, item, (*path, i), at)]
    shape = shape.item if shape.item is not None and shape.one_for_list else shape
    kind = data.get("kind") if isinstance(data, dict) else None
    settings_class = class_for(shape, kind) if shape.classes else None
    if settings_class is None:
        return []
    if not any(bad[: len(path)] == path for bad in at.bad):
        try:
            return list(findings(settings_class.model_validate(data), path)) if data is not None else []
        except ValidationError:
            return []  # told of the mapping around it
    if not isinstance(data, dict):
        return []
    fields = fields_of(settings_class)
    inner = [(key, value) for key, value in data.items() if key in fields]
    return [f for key, value in inner for f in _sound_findings(value, fields[key].shape, (*path, key), at)]


def _existing(node: Node, path: Path) -> Path:
    """The path with the indices left out that stand for one value written in place of a list."""
    kept: list[str | int] = []
    for part in path:
        if isinstance(part, int) and not isinstance(node, ListNode):
            continue
        kept.append(part)
        if isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        elif isinstance(node, MapNode) and part in node.entries:
            node = node.entries[str(part)].value
    return tuple(kept)


def _completed(node: Node, shape: Shape, default: Any, path: Path, at: _At) -> Any:
    """The bare value of a node, unknown keys dropped, completed from the default of its place.

    A mapping that gives some of the keys keeps the others of the default it stands in for:
    `optimizer: {learning_rate: 1e-3}` is of the default's kind.
    """
    if isinstance(node, ListNode) and shape.item is not None:
        return [_completed(item, shape.item, None, (*path, i), at) for i, item in enumerate(node.items)]
    if shape.item is not None and shape.one_for_list:
        return _completed(node, shape.item, None, path, at)
    if not isinstance(node, MapNode) or not shape.classes:
        return plain(node)
    given = plain(kind) if (kind := node.get("kind")) is not None else None
    if kind is None and "" not in shape.classes and isinstance(default, Settings):
        given = getattr(default, "kind", None)
    settings_class = class_for(shape, given)
    if settings_class is None:
        return plain(node)
    values: dict[str, Any] = {} if kind is not None or "" in shape.classes else {"kind": given}
    fields = fields_of(settings_class)
    if type(default) is settings_class:
        values |= {
            key: getattr(default, field.name)
            for key, field in fields.items()
            if field.name in default.model_fields_set
        }
    return values | _known(node, settings_class, path, at)


def _known(node: MapNode, settings_class: type[Settings], path: Path, at: _At) -> dict[str, Any]:
    fields = fields_of(settings_class)
    values = {}
    for key, entry in node.entries.items():
        field = fields.get(key)
        if field is None:
            advice = unknown_advice(key, at.path + path, list(fields), at.hint)
            at.report((*path, key), entry.key, "no such setting", advice=advice)
        else:
            values[key] = _completed(entry.value, field.shape, field.default, (*path, key), at)
    return values


def unknown_advice(key: str, path: Path, known: list[str], hint: Hint) -> str:
    """What an unknown key was probably meant to be."""
    if ":" in key:
        name = key.split(":")[0]
        return f"Write a space after the colon: `{name}: …`."
    advice = hint(key, path, known)
    if advice or not known:
        return advice or "Nothing can be set here."
    shown = ", ".join(known) if len(known) <= MANY_KEYS else ", ".join(known[:MANY_KEYS]) + ", …"
    return f"Known here: {shown}."


def _validated(data: Any, settings_class: type[Settings], node: MapNode, at: _At) -> Settings | None:
    try:
        return settings_class.model_validate(data)
    except ValidationError as error:
        told: set[Path] = set()  # a number or a word: what is neither fails twice, and is told of once
        for detail in error.errors(include_url=False):
            path, shape = _locate(detail["loc"], settings_class, node)
            if path not in told or not shape.words:
                _report(detail, path, shape, settings_class, node, at)
            told.add(path)
        return None


def _report(
    detail: ErrorDetails, path: Path, shape: Shape, settings_class: type[Settings], node: MapNode, at: _At
) -> None:
    """Note one of pydantic's errors."""
    found = find(node, at.key, path)
    if detail["type"] == "missing":
        field = _field_description(path, settings_class)
        at.report(path, found.place, "missing", expected_words(shape) + field)
    elif detail["type"].startswith("union_tag"):
        kind = find(node, at.key, (*path, "kind"))
        said = found_words(kind.node) if kind.node else "no `kind`"
        words = Shape(type=str, choices=tuple(shape.classes))
        advice = advice_for(kind.node, words) if isinstance(kind.node, ScalarNode) else ""
        at.report(
            (*path, "kind"), kind.place, said_kind(kind.node, said, words), expected_words(words), advice
        )
        at.bad.add(path)
    elif found.node is not None:
        said = f"found {found_words(found.node, shape)}"
        at.report(path, found.place, said, expected_words(shape), advice_for(found.node, shape))
    else:
        at.report(path, found.place, detail["msg"])


def said_kind(node: Node | None, said: str, words: Shape) -> str:
    """What a union's `kind` holds."""
    return f"found {found_words(node, words)}" if node is not None else said


def _field_description(path: Path, settings_class: type[Settings]) -> str:
    owner = settings_class
    for part in path[:-1]:
        field = fields_of(owner).get(str(part))
        inner = field.shape.item or field.shape if field else None
        if inner is None or "" not in inner.classes:
            continue
        owner = inner.classes[""]
    field = fields_of(owner).get(str(path[-1])) if path else None
    return f": {field.description}" if field and field.description else ""


def _locate(loc: tuple[str | int, ...], settings_class: type[Settings], node: Node) -> tuple[Path, Shape]:
    """A location of pydantic's as a path in the tree, and what may stand there.

    Left out are the kinds of unions, the index of a value that stands for a list of one, and which of a
    number and a word was tried.
    """
    shape = Shape(classes={"": settings_class})
    path: list[str | int] = []
    current: Node | None = node
    for part in loc:
        if shape.words:
            break  # what follows names what could have stood here
        if shape.item is not None and isinstance(part, int):
            shape = shape.item
            if not isinstance(current, ListNode):
                continue
            current = current.items[part] if part < len(current.items) else None
        elif "" not in shape.classes and part in shape.classes:
            shape = Shape(classes={"": shape.classes[str(part)]}, optional=shape.optional)
            continue
        elif "" in shape.classes:
            field = fields_of(shape.classes[""]).get(str(part))
            shape = field.shape if field else Shape()
            current = current.get(str(part)) if isinstance(current, MapNode) else None
        path.append(part)
    return tuple(path), shape
