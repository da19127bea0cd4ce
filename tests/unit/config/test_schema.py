import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.kind import Kind
from mtkit.config.nodes import Text, plain
from mtkit.config.reader import read_yaml
from mtkit.config.schema import recipe_schema

Kinds = dict[str, Kind]
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": int | float,
    "integer": int,
}
LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "minProperties": lambda value, limit: len(value) >= limit,
    "maxProperties": lambda value, limit: len(value) <= limit,
    "enum": lambda value, limit: value in limit,
    "const": lambda value, limit: value == limit,
    "pattern": lambda value, limit: re.search(limit, value) is not None,
}
SAID = {"$schema", "$defs", "title", "description", "default", "additionalProperties"}


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """A validator of the keywords that the schema uses; an unknown keyword is an error."""
    # the type first: the other keywords take it for granted
    for keyword, wanted in sorted(schema.items(), key=lambda item: item[0] != "type"):
        if keyword == "$ref":
            ok = valid(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)
        elif keyword == "anyOf":
            ok = any(valid(value, option, root) for option in wanted)
        elif keyword == "type":
            ok = isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        elif keyword == "items":
            ok = all(valid(item, wanted, root) for item in value)
        elif keyword == "properties":
            ok = all(valid(value[key], inner, root) for key, inner in wanted.items() if key in value)
        elif keyword == "propertyNames":
            ok = all(valid(key, wanted, root) for key in value)
        elif keyword in LIMITS:
            ok = LIMITS[keyword](value, wanted)
        else:
            assert keyword in SAID, keyword
            ok = True
        if not ok:
            return False
    return _no_others(value, schema, root)


def _no_others(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    others = (
        [key for key in value if key not in schema.get("properties", {})] if isinstance(value, dict) else []
    )
    allowed = schema.get("additionalProperties", True)
    if isinstance(allowed, dict):
        return all(valid(value[key], allowed, root) for key in others)
    return bool(allowed) or not others


def accepts(text: str, kinds: Kinds) -> bool:
    schema = json.loads(json.dumps(recipe_schema(kinds)))
    return valid(plain(read_yaml(Text("a.yaml", text))), schema, schema)


@pytest.mark.parametrize(
    "text",
    [
        "base: base/small.yaml",
        "recipe: a\nbase: [a.yaml, b.yaml]\nsource: de\ntarget: no\nseed: 0",
        "expect: {test.bleu: 32.0 to 34.5, minutes: at most 15}",
        "stages: {train: {model: {dim: 8}}}",
        "stages: {train: {optimizer: {learning_rate: 0.1}, clip_norm: null}}",
        "stages: {train: {schedule: {kind: cosine, floor: 0.1}}}",
        "stages: {corpus: {train: a, valid: {stem: b}, filters: [length: {max: 9}, copies: {}]}}",
        "stages: {corpus: {train: [a, {dataset: b}]}}",
        "stages: {student: {like: train, from: more, model: {heads: 2}}}",
        "stages: {second: {kind: translate, from: [a, b]}}",
    ],
)
def test_what_may_stand_in_a_recipe_is_accepted(text: str, kinds: Kinds) -> None:
    assert accepts(text, kinds)


@pytest.mark.parametrize(
    "text",
    [
        "sorce: de",
        "source: de/en",
        "seed: -1",
        "expect: {test.blue: 1 to 2}",
        "expect: {test.bleu: about 3}",
        "stages: {train: {heads: 8}}",
        "stages: {train: {model: {heads: eight}}}",
        "stages: {train: {model: {dropout: 1.5}}}",
        "stages: {train: {optimizer: {kind: adam}}}",
        "stages: {train: {optimizer: {kind: adamw, momentum: 0.9}}}",
        "stages: {train: {kind: score}}",
        "stages: {student: {kind: train, beam_size: 4}}",
        "stages: {corpus: {train: 5}}",
        "stages: {corpus: {filters: [{length: {}, copies: {}}]}}",
        "stages: {translate: {split: tset}}",
    ],
)
def test_what_may_not_is_refused(text: str, kinds: Kinds) -> None:
    assert not accepts(text, kinds)


def test_golden_recipes_that_the_schema_can_judge_are_refused(kinds: Kinds) -> None:
    folder = Path(__file__).parents[2] / "golden" / "recipe_errors"
    names = [
        "misspelt_setting",
        "text_for_a_number",
        "out_of_range",
        "setting_of_another_kind",
        "yes_is_text",
    ]
    for name in names:
        assert not accepts((folder / f"{name}.yaml").read_text(encoding="utf-8"), kinds), name


def test_every_setting_is_described(kinds: Kinds) -> None:
    schema = recipe_schema(kinds)
    assert schema["$schema"].endswith("2020-12/schema")
    model = schema["$defs"]["ModelSettings"]["properties"]
    assert all(each.get("description") for each in model.values())
    assert model["heads"]["minimum"] == 1
