"""Which settings of two recipes differ, with both values and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtkit.config.fields import leaves
from mtkit.config.nodes import dotted
from mtkit.config.origins import DEFAULT
from mtkit.config.recipe import Recipe, Stage
from mtkit.config.scalars import flow_text
from mtkit.config.show import head_values, stage_values

_ABSENT = "–"


@dataclass(frozen=True)
class Difference:
    """One setting that differs.

    Attributes:
        path: its dotted path in the recipe.
        left: its value in the first recipe, as YAML, or `–` where it has no such setting.
        left_origin: where that value comes from, or "".
        right: as `left`, in the second recipe.
        right_origin: as `left_origin`.
    """

    path: str
    left: str
    left_origin: str
    right: str
    right_origin: str


def differences(left: Recipe, right: Recipe) -> list[Difference]:
    """The settings that differ, in the order of the first recipe; names and `about` are not settings."""
    first, second = _values(left, right.stages), _values(right, left.stages)
    paths = list(first) + [path for path in second if path not in first]
    absent = (_ABSENT, "")
    return [
        Difference(path, *first.get(path, absent), *second.get(path, absent))
        for path in paths
        if first.get(path, absent)[0] != second.get(path, absent)[0]
    ]


def diff_text(found: list[Difference]) -> str:
    """The differences for people, a setting a line, in columns."""
    rows = [
        (each.path, _with_origin(each.left, each.left_origin), _with_origin(each.right, each.right_origin))
        for each in found
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    return "".join(f"{path:<{widths[0]}}  {left:<{widths[1]}}  →  {right}\n" for path, left, right in rows)


def _with_origin(value: str, origin: str) -> str:
    return f"{value} ({origin})" if origin else value


def _values(recipe: Recipe, others: Mapping[str, Stage]) -> dict[str, tuple[str, str]]:
    """Dotted path → value as YAML and origin; a stage that the other recipe has not is one value."""
    head = {key: value for key, value in head_values(recipe).items() if key not in ("recipe", "about")}
    values = _located(head, "", recipe.origins)
    for name, stage in recipe.stages.items():
        if name in others:
            values |= _located(stage_values(stage), f"stages.{name}.", stage.origins)
        else:
            given = [origin for origin in stage.origins.values() if origin != DEFAULT]
            values[f"stages.{name}"] = (f"a {stage.kind.name} stage", given[0] if given else DEFAULT)
    return values


def _located(
    values: Mapping[str, Any], prefix: str, origins: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    located = {}
    for leaf, value in leaves(dict(values)):
        path = dotted(leaf)
        located[prefix + path] = (flow_text(value), origins.get(path, DEFAULT))
    return located
