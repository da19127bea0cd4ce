"""A whole recipe with nothing left open: every value as YAML, each with the place it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtkit.config.fields import tree
from mtkit.config.findings import findings
from mtkit.config.nodes import Path, dotted
from mtkit.config.origins import DEFAULT
from mtkit.config.recipe import Recipe, Stage, findings_beside
from mtkit.config.scalars import flow_text, scalar_text

_WIDEST = 64  # a longer line does not push the comments of all others to the right


@dataclass(frozen=True)
class _Row:
    text: str
    origin: str = ""


@dataclass(frozen=True)
class _Section:
    """Origins of a part of the recipe, and the paths in it whose values have no effect."""

    origins: Mapping[str, str]
    idle: frozenset[str] = frozenset()

    def origin(self, path: Path) -> str:
        return self.origins.get(dotted(path), DEFAULT)

    def is_idle(self, path: Path) -> bool:
        return dotted(path) in self.idle and self.origin(path) == DEFAULT


def show(recipe: Recipe) -> str:
    """The resolved recipe as YAML; reading it gives the same settings again.

    A default that has no effect beside the other settings stands in a comment of its own, since giving
    it would be refused.
    """
    folder = str(recipe.folder)
    rows = [_Row(f"# Every setting of {recipe.path}; relative paths start at {folder}/")]
    rows += _mapping(head_values(recipe), (), 0, _Section(recipe.origins))
    rows.append(_Row("stages:"))
    for stage in recipe.stages.values():
        rows.append(_Row(f"  {stage.name}:"))
        rows += _mapping(stage_values(stage), (), 4, _Section(stage.origins, _idle(stage, recipe)))
    return _aligned(rows)


def head_values(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of itself, as it would be written."""
    values: dict[str, Any] = {
        "recipe": recipe.name,
        "about": recipe.about,
        "source": recipe.source,
        "target": recipe.target,
        "seed": recipe.seed,
    }
    return values | ({"expect": {key: str(e) for key, e in recipe.expect.items()}} if recipe.expect else {})


def stage_values(stage: Stage) -> dict[str, Any]:
    """A stage as it would be written, every default included."""
    reads = {"from": list(stage.reads.values())} if stage.reads else {}
    return {"kind": stage.kind.name, **reads, **tree(stage.settings)}


def _idle(stage: Stage, recipe: Recipe) -> frozenset[str]:
    """The paths of defaults that would be refused as ineffective if they were given."""
    written = type(stage.settings).model_validate(tree(stage.settings))
    paths = [inner + finding.path for inner, finding in findings(written)]
    paths += [finding.path for finding in findings_beside(stage, recipe.stages, written)]
    return frozenset(map(dotted, paths))


def _mapping(values: Mapping[str, Any], path: Path, indent: int, section: _Section) -> list[_Row]:
    rows: list[_Row] = []
    idle: list[_Row] = []
    for key, value in values.items():
        here = (*path, key)
        if section.is_idle(here):
            text = f"{' ' * indent}# {key}: {flow_text(value)}"
            idle.append(_Row(text, f"{DEFAULT}, without effect here"))
        else:
            rows += _entry(key, value, here, indent, section)
    return rows + idle


def _entry(key: str, value: Any, path: Path, indent: int, section: _Section) -> Iterator[_Row]:
    start = f"{' ' * indent}{scalar_text(key)}:"
    if isinstance(value, dict) and value:
        yield _Row(start)
        yield from _mapping(value, path, indent + 2, section)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        yield _Row(start)
        for index, item in enumerate(value):
            first, *others = _mapping(item, (*path, index), indent + 4, section)
            yield _Row(f"{' ' * (indent + 2)}- {first.text.lstrip()}", first.origin)
            yield from others
    else:
        yield _Row(f"{start} {flow_text(value)}", section.origin(path))


def _aligned(rows: list[_Row]) -> str:
    width = max((len(row.text) for row in rows if row.origin and len(row.text) <= _WIDEST), default=0)
    lines = [f"{row.text:<{width}}  # {row.origin}" if row.origin else row.text for row in rows]
    return "\n".join(lines) + "\n"
