"""The JSON Schema of a recipe, for editors: made from the settings classes, never written by hand.

It says what may stand in a file, not what a complete recipe must have: a base may give the rest.
"""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from mtkit.config.expect import MINUTES
from mtkit.config.fields import accepts_text, fields_of
from mtkit.config.head import RecipeHead, StageHead
from mtkit.config.judging import model_of
from mtkit.config.kind import Kind
from mtkit.config.scoring import METRICS
from mtkit.config.settings import Settings

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DROPPED = ("required", "title", "discriminator")
_EXPECTATION = r"^(-?\d+(\.\d+)? to|at most|at least) +-?\d+(\.\d+)?$"


def recipe_schema(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The schema (draft 2020-12) of a recipe whose stages are of these kinds."""
    roots: list[type[Settings]] = [RecipeHead, StageHead, *(kind.settings for kind in kinds.values())]
    _, raw = models_json_schema([(model_of(root), "validation") for root in roots], by_alias=True)
    defs = {name: _loosened(schema) for name, schema in raw["$defs"].items()}
    for settings_class in _classes(roots):
        _widen(defs, settings_class)
    head, stage_head = defs.pop(RecipeHead.__name__), defs.pop(StageHead.__name__)
    for kind in kinds.values():
        defs[f"stage-{kind.name}"] = _stage(defs[kind.settings.__name__], stage_head, kind)
    for kind in kinds.values():
        defs.pop(kind.settings.__name__, None)
    head["properties"]["expect"] |= _expect()
    head["properties"]["stages"] = _stages(kinds)
    return {"$schema": _DRAFT, "title": "mtkit recipe", **head, "$defs": defs}


def _loosened(schema: Any) -> Any:
    """Without what a base may supply, and with kinds told apart by trying, as `kind` may be left out."""
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loosened = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):  # the keys of these are names, not keywords
            loosened[key] = {name: _loosened(inner) for name, inner in value.items()}
        elif key in ("default", "const", "enum"):
            loosened[key] = value
        elif key not in _DROPPED:
            loosened["anyOf" if key == "oneOf" else key] = _loosened(value)
    return loosened


def _classes(roots: list[type[Settings]]) -> list[type[Settings]]:
    """These settings classes and all within them, each once."""
    found: dict[type[Settings], None] = {}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            for field in fields_of(each).values():
                waiting.extend((field.shape.item or field.shape).classes.values())
    return list(found)


def _widen(defs: dict[str, Any], settings_class: type[Settings]) -> None:
    """Allow what the classes allow beyond their types: one value for a list of one, a text for a mapping."""
    schema = defs[settings_class.__name__]
    for key, field in fields_of(settings_class).items():
        if field.shape.one_for_list:
            schema["properties"][key] = _with_single(schema["properties"][key])
    if accepts_text(settings_class):
        description = {"description": schema.pop("description", "")}
        defs[settings_class.__name__] = {**description, "anyOf": [{"type": "string"}, schema]}


def _with_single(schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("anyOf") or [
        {k: v for k, v in schema.items() if k not in ("description", "default")}
    ]
    singles = [option["items"] for option in options if "items" in option]
    said: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    return {**said, "anyOf": [*options, *singles]}


def _stage(settings: dict[str, Any], stage_head: dict[str, Any], kind: Kind) -> dict[str, Any]:
    properties = {**stage_head["properties"], **settings["properties"]}
    properties["kind"] = {"const": kind.name, "description": kind.purpose}
    return {**settings, "properties": properties}


def _stages(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/$defs/stage-{name}"} for name in kinds}
    return {
        "description": "the stages by name; one named as a kind is of that kind",
        "type": "object",
        "properties": references,
        "additionalProperties": {"anyOf": list(references.values())},
    }


def _expect() -> dict[str, Any]:
    return {
        "propertyNames": {"pattern": rf"^({MINUTES}|.+\.({'|'.join(METRICS)}))$"},
        "additionalProperties": {"type": "string", "pattern": _EXPECTATION},
    }
