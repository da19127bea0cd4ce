"""A recipe: from a file, its bases and `--set` to checked settings, or to all problems at once.

What a stage does is not known here: kinds are handed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtkit.config.checking import check_settings, problem_of
from mtkit.config.expect import MINUTES, Expectation
from mtkit.config.fields import leaves, tree
from mtkit.config.graph import Draft, draft_stages
from mtkit.config.head import RecipeHead, recipe_name
from mtkit.config.hints import Hints
from mtkit.config.inherited import leave_out_idle
from mtkit.config.kind import Kind
from mtkit.config.nearest import did_you_mean
from mtkit.config.nodes import MapNode, Node, Place, ScalarNode, dotted
from mtkit.config.origins import origin
from mtkit.config.overrides import apply_overrides
from mtkit.config.problems import Problem, RecipeProblemsError, one_of
from mtkit.config.scoring import METRICS
from mtkit.config.settings import Finding, Settings
from mtkit.config.sources import find_recipe, read_layers
from mtkit.config.words import found_words


@dataclass(frozen=True)
class Stage:
    """One stage, ready to run.

    Attributes:
        name: its key under `stages`.
        kind: what it does.
        settings: checked and complete.
        reads: role → name of the stage that fills it.
        origins: path within the stage (`model.heads`, `kind`, `from`) → `file:line`, `default` or `--set`.
    """

    name: str
    kind: Kind
    settings: Settings
    reads: Mapping[str, str]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """A recipe without a problem.

    Attributes:
        path: the file as it was named; its folder is where relative paths of the recipe start.
        stages: every stage after those it reads.
        origins: of `source`, `seed`, …, as in a stage.
    """

    name: str
    about: str
    source: str
    target: str
    seed: int
    expect: Mapping[str, Expectation]
    path: Path
    folder: Path
    stages: Mapping[str, Stage]
    origins: Mapping[str, str] = field(default_factory=dict)


def read_recipe(path: str | Path, kinds: Mapping[str, Kind], overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: its file, or the name of a shipped recipe.
        kinds: name → kind of stage.
        overrides: `path=value`, as given to `--set`.

    Raises:
        RecipeError: with every problem of the recipe.
    """
    file = find_recipe(path)
    problems: list[Problem] = []
    root = read_layers(file, problems)
    recipe = None
    if root is not None:
        recipe = _checked(apply_overrides(root, overrides, problems), file, kinds, problems)
    if problems or recipe is None:
        raise RecipeProblemsError(problems, str(file))
    return recipe


def _checked(root: MapNode, path: Path, kinds: Mapping[str, Kind], problems: list[Problem]) -> Recipe | None:
    drafts = _drafts(root, kinds, problems)
    hints = Hints(kinds, {draft.name: draft.kind for draft in drafts.values() if draft.kind}, RecipeHead)
    start = Place(root.place.text, root.place.start, root.place.start)
    head = check_settings(
        root.without("stages", "expect", "base"),
        RecipeHead,
        path=(),
        key=start,
        problems=problems,
        hint=hints,
    )
    stages: dict[str, Stage] = {}
    for name, draft in drafts.items():  # each after those it reads
        if stage := _stage(draft, stages, hints, problems, root.place.file):
            stages[name] = stage
    expect = _expectations(root, drafts, problems)
    if problems or not isinstance(head, RecipeHead):
        return None
    name = head.recipe or path.stem
    try:
        recipe_name(name)
    except ValueError as error:
        wanted = f"`recipe:` with {str(error).removeprefix('expected ')}"
        problems.append(Problem(start, "recipe", f"the file's name '{name}' cannot name a run", wanted))
    origins = {key: origin(root, (key,)) for key in RecipeHead.model_fields if key != "expect"}
    origins |= {f"expect.{key}": origin(root, ("expect", key)) for key in expect}
    return Recipe(
        name, head.about, head.source, head.target, head.seed, expect, path, path.parent, stages, origins
    )  # fmt: skip


def _drafts(root: MapNode, kinds: Mapping[str, Kind], problems: list[Problem]) -> dict[str, Draft]:
    entry = root.entries.get("stages")
    expected = "a mapping of stages, such as `corpus:` and `train:`"
    if entry is None:
        start = Place(root.place.text, root.place.start, root.place.start)
        problems.append(Problem(start, "stages", "missing", expected))
    elif not isinstance(entry.value, MapNode) or not entry.value.entries:
        problems.append(Problem(entry.key, "stages", f"found {found_words(entry.value)}", expected))
    else:
        return draft_stages(entry.value, kinds, problems)
    return {}


def _stage(
    draft: Draft, before: Mapping[str, Stage], hints: Hints, problems: list[Problem], file: str
) -> Stage | None:
    """A stage of its draft, which is left without what it inherits to no effect.

    Args:
        draft: the stage before it is checked.
        before: the stages before it.
        hints: for unknown keys.
        problems: what is wrong is added here.
        file: the recipe's own.
    """
    if draft.kind is None:
        return None
    path = ("stages", draft.name)
    found: list[Problem] = []
    settings = check_settings(
        draft.node, draft.kind.settings, path=path, key=draft.key, problems=found, hint=hints
    )
    stage = None if settings is None else _with_origins(draft, settings)
    if stage is not None:
        beside = findings_beside(stage, before)
        found += [problem_of(finding, (), path, draft.node, draft.key) for finding in beside]
    if leave_out_idle(draft, found, file):
        return _stage(draft, before, hints, problems, file)
    problems += found
    return stage


def _with_origins(draft: Draft, settings: Settings) -> Stage:
    assert draft.kind is not None
    origins = {dotted(leaf): origin(draft.node, leaf) for leaf, _ in leaves(tree(settings))}
    origins["kind"] = draft.kind_origin
    read = {role: draft.reads[role] for role in draft.kind.reads if role in draft.reads}
    if read:
        origins["from"] = next((o for o in draft.read_origins.values() if o != "default"), "default")
    return Stage(draft.name, draft.kind, settings, read, origins)


def findings_beside(
    stage: Stage, stages: Mapping[str, Stage], settings: Settings | None = None
) -> list[Finding]:
    """The problems between a stage's settings, or others in their place, and those of what is behind it."""
    return list((settings or stage.settings).findings_beside(_behind(stage, stages)))


def _behind(stage: Stage, stages: Mapping[str, Stage]) -> dict[str, Settings]:
    """Role → settings of the stages that a stage reads, and that those read; of a role the nearest."""
    found: dict[str, Settings] = {}
    readers = [stage]
    for reader in readers:  # a role is followed once: an end, even where stages read each other in a circle
        for role, name in reader.reads.items():
            if role not in found and name in stages:
                found[role] = stages[name].settings
                readers.append(stages[name])
    return found


def _expectations(
    root: MapNode, drafts: Mapping[str, Draft], problems: list[Problem]
) -> dict[str, Expectation]:
    node = root.get("expect")
    if node is None:
        return {}
    if not isinstance(node, MapNode):
        expected = "a mapping such as `test.bleu: 32 to 34.5`"
        problems.append(Problem(root.entries["expect"].key, "expect", f"found {found_words(node)}", expected))
        return {}
    expectations = {}
    for key, entry in node.entries.items():
        if problem := _unknown_figure(key, entry.key, drafts):
            problems.append(problem)
        elif (expectation := _expectation(key, entry.value, problems)) is not None:
            expectations[key] = expectation
    return expectations


def _unknown_figure(key: str, place: Place, drafts: Mapping[str, Draft]) -> Problem | None:
    """The problem of a figure that no run can have."""
    if key == MINUTES:
        return None
    path = f"expect.{key}"
    name, dot, metric = key.rpartition(".")
    scoring = [one for one, draft in drafts.items() if draft.kind is None or draft.kind.name == "score"]
    names = ["test", "valid", *scoring]
    if not dot:
        expected = "`minutes`, or a name and a metric such as `test.bleu`"
        return Problem(place, path, "no such figure", expected, did_you_mean(key, [MINUTES]))
    if metric not in METRICS:
        return Problem(place, path, f"no metric '{metric}'", one_of(METRICS), did_you_mean(metric, METRICS))
    if name not in names:
        return Problem(
            place,
            path,
            f"no split or score stage '{name}'",
            "test, valid or a stage that scores",
            did_you_mean(name, names),
        )
    return None


def _expectation(key: str, node: Node, problems: list[Problem]) -> Expectation | None:
    try:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return Expectation.parse(node.value)
        wanted = "'LOW to HIGH', 'at most X' or 'at least X'"
    except ValueError as error:
        wanted = str(error).removeprefix("expected ")
    problems.append(Problem(node.place, f"expect.{key}", f"found {found_words(node)}", wanted))
    return None
