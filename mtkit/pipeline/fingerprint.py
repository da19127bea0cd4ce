"""Fingerprints: what a stage's result depends on, and the hash of it. The store is not known here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from mtkit.config.recipe import Recipe, Stage
from mtkit.config.settings import Settings
from mtkit.files import canonical_hash


@dataclass(frozen=True)
class Ingredients:
    """Everything a stage's result depends on, and nothing else.

    Attributes:
        kind: name of the kind.
        version: the kind's version.
        settings: the stage's own settings, defaults included, without those outside the fingerprint.
        inputs: role → fingerprint of the stage that fills it.
        data: path in the recipe, or what else it reads → hash of the content found there.
        seed: the recipe's seed, or None where the kind uses none.
        languages: {"source": …, "target": …}, or None where they change nothing.
    """

    kind: str
    version: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    data: dict[str, str]
    seed: int | None
    languages: dict[str, str] | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal."""
        return canonical_hash(asdict(self))


def ingredients(stage: Stage, recipe: Recipe, inputs: Mapping[str, str]) -> Ingredients:
    """Gather what a stage's result depends on; hashes the data files it reads.

    Args:
        inputs: role → fingerprint of the stage that fills it.
    """
    kind = stage.kind
    return Ingredients(
        kind=kind.name,
        version=kind.version,
        settings=result_settings(stage.settings),
        inputs=dict(inputs),
        data=data_of(stage, recipe),
        seed=recipe.seed if kind.uses_seed else None,
        languages={"source": recipe.source, "target": recipe.target} if kind.uses_languages else None,
    )


def data_of(stage: Stage, recipe: Recipe) -> dict[str, str]:
    """What a stage reads beside its settings and other stages → hash of what is there now."""
    identity = stage.kind.identity
    found: dict[str, str] = load(identity)(stage.settings, recipe) if identity else {}
    return found


def fingerprint(stage: Stage, recipe: Recipe, inputs: Mapping[str, str]) -> str:
    """The SHA-256 that names a stage's result; equal fingerprints mean equal results."""
    return ingredients(stage, recipe, inputs).fingerprint


def result_settings(value: Any) -> Any:
    """Settings as plain values under the names a recipe uses, without what lies outside the fingerprint."""
    if isinstance(value, Settings):
        return {
            field.alias or name: result_settings(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if name not in value.outside_fingerprint
        }
    if isinstance(value, (list, tuple)):
        return [result_settings(item) for item in value]
    if isinstance(value, dict):
        return {key: result_settings(item) for key, item in value.items()}
    return value


def load(path: str) -> Any:
    """The function behind `module:function`, imported now."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
