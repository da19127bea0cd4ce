"""Recipe files: finding them by path or by shipped name, and laying a recipe over its bases."""

import os
from pathlib import Path

from mtkit.config.nearest import did_you_mean
from mtkit.config.nodes import Entry, ListNode, MapNode, Node, Place, ScalarNode, Text, merge
from mtkit.config.problems import Problem, RecipeProblemsError
from mtkit.config.reader import parse, read_source
from mtkit.config.words import found_words
from mtkit.errors import MtkitError, RecipeError
from mtkit.files import shipped

MOST_LEVELS = 2  # a recipe's bases, and their bases
NOT_INHERITED = ("recipe", "about", "base", "expect")  # said of one recipe, untrue of those built on it


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe, given by its path or by the name of a shipped recipe.

    A folder hides no shipped recipe: one that was made by a run may well bear its name.

    Raises:
        RecipeError: there is no such file and no shipped recipe of that name.
    """
    path = Path(name)
    is_folder = path.is_dir()
    if (path.exists() and not is_folder) or path.suffix in (".yaml", ".yml"):
        return path
    names = shipped_recipes()
    if str(name) in names:
        return names[str(name)]
    if is_folder:
        return path  # which whoever reads it refuses
    raise RecipeError(
        f"no recipe '{name}'",
        expected="the path of a file, or the name of a shipped recipe",
        advice=did_you_mean(name, names) or "See `mtkit recipe list`.",
    )


def shipped_recipes() -> dict[str, Path]:
    """The shipped recipes by name, in alphabetical order; bases are not among them."""
    return {_shown(path).stem: _shown(path) for path in sorted(shipped("recipes").glob("*.yaml"))}


def _shown(path: Path) -> Path:
    """A path as people like to read it: from the working folder if it lies in there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def read_layers(path: Path, problems: list[Problem]) -> MapNode | None:
    """A recipe laid over its bases.

    Returns:
        The merged mapping, each value with its own place; None if the recipe itself cannot be read.

    Raises:
        RecipeError: the file is missing or not UTF-8.
    """
    return _layers(read_source(path), path, (), problems)


def _layers(text: Text, path: Path, above: tuple[Path, ...], problems: list[Problem]) -> MapNode | None:
    node = parse(text, problems)
    if node is not None and not isinstance(node, MapNode):
        expected = "a mapping, such as `recipe: NAME`"
        problems.append(Problem(node.place, "", f"found {found_words(node)}", expected))
    if not isinstance(node, MapNode):
        return None
    merged: MapNode | None = None
    for name, place in _base_names(node, problems):
        layer = _base_layer(name, place, path, above, problems)
        if layer is not None:
            merged = _laid(merged, layer.without(*NOT_INHERITED))
    return _laid(merged, node)


def _laid(base: MapNode | None, over: MapNode) -> MapNode:
    merged = over if base is None else merge(base, over)
    assert isinstance(merged, MapNode)
    return merged


def _base_names(node: MapNode, problems: list[Problem]) -> list[tuple[str, Place]]:
    given = node.get("base")
    if given is None:
        return []
    items: tuple[Node, ...] = given.items if isinstance(given, ListNode) else (given,)
    names = []
    for item in items:
        if isinstance(item, ScalarNode) and isinstance(item.value, str):
            names.append((item.value, item.place))
        else:
            key = node.entries["base"].key
            expected = "the path of a recipe, or a list of paths"
            problems.append(Problem(key.to(item.place), "base", f"found {found_words(item)}", expected))
    return names


def _base_layer(
    name: str, place: Place, path: Path, above: tuple[Path, ...], problems: list[Problem]
) -> MapNode | None:
    base = _base_file(name, path.parent)
    trail = (*above, path)
    if base.resolve() in [each.resolve() for each in trail]:
        circle = " → ".join(each.name for each in (*trail, base))
        problems.append(Problem(place, "base", f"bases in a circle: {circle}", "a base that stands alone"))
        return None
    if len(trail) > MOST_LEVELS:
        chain = " → ".join(each.name for each in (*trail, base))
        expected = f"at most {MOST_LEVELS} levels of bases"
        problems.append(Problem(place, "base", f"{len(trail)} levels: {chain}", expected))
        return None
    try:
        text = read_source(base)
    except MtkitError as error:
        said = error.found if error.found != "no such file" else f"no file '{name}'"
        advice = "It is looked up beside the recipe that names it, then among the shipped recipes."
        problems.append(Problem(place, "base", said, "", advice))
        return None
    return _layers(text, base, trail, problems)


def _base_file(name: str, folder: Path) -> Path:
    beside = Path(os.path.normpath(folder / name))
    other = shipped("recipes") / name
    return _shown(other) if not beside.exists() and other.exists() else beside


def recipe_summary(path: Path) -> str:
    """What a recipe says it is about, without checking the rest."""
    problems: list[Problem] = []
    node = parse(read_source(path), problems)
    if problems or not isinstance(node, MapNode):
        raise RecipeProblemsError(problems, str(path))
    entry: Entry | None = node.entries.get("about")
    about = entry.value if entry else None
    return str(about.value) if isinstance(about, ScalarNode) and about.value is not None else ""
