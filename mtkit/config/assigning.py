"""`--set NAME=VALUE` of a command without a recipe: laid over the settings that hold anyway."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

from mtkit.config.checking import check_settings, nearest_hint
from mtkit.config.fields import fields_of, tree
from mtkit.config.nodes import MapNode, Path, Place, Text, merge
from mtkit.config.overrides import apply_overrides
from mtkit.config.problems import Problem, RecipeProblemsError
from mtkit.config.reader import parse
from mtkit.config.settings import Settings

Some = TypeVar("Some", bound=Settings)


def assigned(settings: Some, overrides: Sequence[str]) -> tuple[Some, frozenset[str]]:
    """Settings with every `--set` laid over them, and which of them were set: `sampling`, `sampling.top_k`.

    What does not fit together is not told here: the caller knows what else was chosen.

    Args:
        settings: what holds without.
        overrides: `name=value` or `name.inner=value`, read as in a recipe.

    Raises:
        RecipeError: no such setting, or no such value; all problems at once.
    """
    problems: list[Problem] = []
    nowhere = Place(Text("--set", "", is_file=False), 0, 0)
    base = parse(Text("settings", json.dumps(tree(settings), ensure_ascii=False)), problems)
    name, default = next(iter(tree(settings).items()))
    over = apply_overrides(MapNode({}, nowhere), overrides, problems, f"{name}={json.dumps(default)}")
    assert isinstance(base, MapNode)
    whole = merge(base, over)
    assert isinstance(whole, MapNode)
    found = check_settings(
        whole,
        type(settings),
        path=(),
        key=nowhere,
        problems=problems,
        hint=partial(_hint, type(settings)),
        judge_together=False,
    )
    if problems:
        raise RecipeProblemsError(problems, "--set")
    assert isinstance(found, type(settings))
    return found, frozenset(_names(over))


def _names(given: MapNode, inside: str = "") -> Iterator[str]:
    for key, entry in given.entries.items():
        yield f"{inside}{key}"
        if isinstance(entry.value, MapNode):
            yield from _names(entry.value, f"{inside}{key}.")


def _hint(settings_class: type[Settings], key: str, path: Path, known: Sequence[str]) -> str:
    """What an unknown key was meant to be: one of an inner mapping, or the nearest."""
    for name, field in fields_of(settings_class).items():
        if any(key in fields_of(inner) for inner in field.shape.classes.values()):
            return f"`{key}` is a setting of {name}: `{name}.{key}`."
    return nearest_hint(key, path, known)
