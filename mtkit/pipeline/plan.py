"""What a run would do: for each stage, whether it is stored, and if not, why it has to run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mtkit.config.fields import tree
from mtkit.config.recipe import Recipe, Stage
from mtkit.config.settings import Settings
from mtkit.pipeline.decoding import HOW_IT_TRANSLATES
from mtkit.pipeline.fingerprint import Ingredients, ingredients
from mtkit.pipeline.store import Store

NOTHING: Mapping[str, Any] = MappingProxyType({})
DIFFERENCES_SHOWN = 3
VALUE_WIDTH = 60


@dataclass(frozen=True)
class Planned:
    """A stage and what will be done about it.

    Attributes:
        folder: where its result is, or will be.
        is_stored: True if nothing has to be done.
        reason: why it has to run; empty where it is stored.
    """

    stage: Stage
    ingredients: Ingredients
    folder: Path
    is_stored: bool
    reason: str

    @property
    def fingerprint(self) -> str:
        """The name of the stage's result."""
        return self.ingredients.fingerprint


def plan(
    stages: list[Stage],
    recipe: Recipe,
    store: Store,
    earlier: Mapping[str, Any],
    begun: Mapping[str, Any] = NOTHING,
) -> list[Planned]:
    """Decide for each stage, in order.

    Args:
        stages: each after those it reads.
        earlier: stage name → what the last finished run of this recipe noted of it.
        begun: stage name → what the last run, if it was not finished, was going to make.
    """
    planned: dict[str, Planned] = {}
    for stage in stages:
        inputs = {role: planned[name].fingerprint for role, name in stage.reads.items()}
        parts = ingredients(stage, recipe, inputs)
        kind, fingerprint = parts.kind, parts.fingerprint
        stored = store.is_stored(kind, fingerprint)
        before = earlier.get(stage.name), begun.get(stage.name)
        reason = "" if stored else _reason(stage, parts, store, *before)
        planned[stage.name] = Planned(stage, parts, store.folder(kind, fingerprint), stored, reason)
    return list(planned.values())


def again(planned: list[Planned], store: Store) -> list[Planned]:
    """A plan that is a little older than the store: what was removed meanwhile is made anew."""
    return [
        item
        if not item.is_stored or store.is_stored(item.ingredients.kind, item.fingerprint)
        else replace(item, is_stored=False, reason="its folder is no longer in the store")
        for item in planned
    ]


def lines(planned: list[Planned]) -> list[str]:
    """The plan for people: a line a stage."""
    width = max(len(item.stage.name) for item in planned)
    return [
        f"{item.stage.name:<{width}}  {'stored' if item.is_stored else f'to run, because {item.reason}'}"
        for item in planned
    ]


def _reason(
    stage: Stage,
    now: Ingredients,
    store: Store,
    before: Mapping[str, Any] | None,
    begun: Mapping[str, Any] | None,
) -> str:
    damage = store.damage(now.kind, now.fingerprint)
    if damage is not None:
        return f"what is stored is damaged: {damage}"
    partial = store.partial_folder(now.kind, now.fingerprint)
    if before is None:
        if partial.exists():
            return "it was not finished"
        left = store.partial_folder(begun["kind"], begun["fingerprint"]) if begun else None
        if begun is None or left is None or not left.exists():
            return "it never ran"
        return f"{_shown(stage, now, begun)} since {left.name} was begun, which stays as it is"
    if before["fingerprint"] == now.fingerprint:
        return "its folder is no longer in the store"
    return _shown(stage, now, before) + ("; it was not finished" if partial.exists() else "")


def _shown(stage: Stage, now: Ingredients, before: Mapping[str, Any]) -> str:
    changes = list(_changes(stage, now, before))
    more = len(changes) - DIFFERENCES_SHOWN
    return ", ".join(changes[:DIFFERENCES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _changes(stage: Stage, now: Ingredients, before: Mapping[str, Any]) -> Iterator[str]:
    """What differs between a stage now and the one the last run made, nearest cause first."""
    if before["kind"] != now.kind:
        yield f"its kind {before['kind']} → {now.kind}"
        return
    for path, old, new in differences(before["settings"], asdict(now)["settings"]):
        yield f"stages.{stage.name}.{path} {short(old)} → {short(new)}"
    for path in sorted(before["data"].keys() | now.data.keys()):
        if before["data"].get(path) != now.data.get(path):
            yield f"{_data_called(stage, path)} changed"
    for role, fingerprint in now.inputs.items():
        if before["inputs"].get(role) != fingerprint:
            yield f"{stage.reads[role]} changed"
    if before["seed"] != now.seed:
        yield f"seed {before['seed']} → {now.seed}"
    if before["languages"] != now.languages:
        yield "its languages changed"
    if before["version"] != now.version:
        yield f"mtkit makes it otherwise now (version {before['version']} → {now.version})"


def _data_called(stage: Stage, path: str) -> str:
    if path == HOW_IT_TRANSLATES:
        return path
    return f"the data of stages.{stage.name}.{path}{named(stage.settings, path)}"


def named(settings: Any, path: str) -> str:
    """What a recipe says at a path, in brackets; nothing where it says nothing there."""
    for key in path.split("."):
        if isinstance(settings, list):
            settings = settings[int(key)] if int(key) < len(settings) else None
        else:
            settings = getattr(settings, key, None)
    value = tree(settings) if isinstance(settings, Settings) else settings
    return f" ({short(value)})" if value else ""


class _Absent:
    """Stands where one of two settings does not have a value."""

    def __repr__(self) -> str:
        return "(nothing)"


ABSENT = _Absent()


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place where two nested values differ: its dotted path, the value before and now."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            place = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, ABSENT), now.get(key, ABSENT), place)
    elif isinstance(before, list) and isinstance(now, list):
        for index in range(max(len(before), len(now))):
            old = before[index] if index < len(before) else ABSENT
            new = now[index] if index < len(now) else ABSENT
            yield from differences(old, new, f"{path}.{index}")
    elif before != now:
        yield path, before, now


def short(value: Any) -> str:
    """A value as a recipe writes it, cut to what a line can hold."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{k}: {short(v)}" for k, v in value.items() if v is not None) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(short, value)) + "]"
    else:
        text = str(value)
    return text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"
