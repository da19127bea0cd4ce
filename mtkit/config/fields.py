"""What a settings class allows, read from its types: one description behind check, explain and show.

A shape says what may stand at a place of a recipe: a mapping of one or several kinds, a list, or a value
with its range.
"""

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mtkit.config.rules import AfterValidator, BeforeValidator, Rule
from mtkit.config.settings import Settings, tag_of
from mtkit.config.values import as_list

_CHOICE_PATTERN = re.compile(r"\^\(?(\w+(?:\|\w+)+)\)?\$")


@dataclass(frozen=True)
class Shape:
    """What may stand at one place.

    Attributes:
        optional: null may stand here.
        classes: kind → settings class where a mapping stands; the kind is "" where there is only one.
        item: what each item of a list is, where a list stands.
        one_for_list: one item may stand for a list of one.
        type: of a plain value.
        choices: the only values allowed, if they can be listed.
        words: texts that may stand in the value's place, as `auto` for a number.
        metadata: ranges and validators.
    """

    optional: bool = False
    classes: Mapping[str, type[Settings]] = field(default_factory=dict)
    item: "Shape | None" = None
    one_for_list: bool = False
    type: "type | None" = None
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    metadata: tuple[Any, ...] = ()

    def bound(self, name: str) -> Any:
        """A limit of the value (`ge`, `gt`, `le`, `lt`, `min_length`, `pattern`), or None."""
        values = [getattr(item, name, None) for item in self.metadata]
        return next((value for value in values if value is not None), None)


@dataclass(frozen=True)
class SettingField:
    """One setting of a class.

    Attributes:
        key: as written in a recipe.
        name: as an attribute.
        info: default and description.
    """

    key: str
    name: str
    info: Rule
    shape: Shape

    @property
    def description(self) -> str:
        """What the value does, its unit, its source."""
        return self.info.description or ""

    @property
    def required(self) -> bool:
        """No default: it must be given."""
        return self.info.is_required

    @property
    def default(self) -> Any:
        """The value when it is left out (None for a required one)."""
        return self.info.default


@cache
def fields_of(settings_class: type[Settings]) -> dict[str, SettingField]:
    """Every setting of a class by its key, in the order of the class."""
    fields = {}
    for name, info in settings_class.model_fields.items():
        key = info.alias or name
        fields[key] = SettingField(key, name, info, _shape(info.annotation, info.metadata))
    return fields


def _shape(annotation: Any, metadata: tuple[Any, ...] = ()) -> Shape:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        return _shape(inner, metadata + tuple(_flat(extra)))
    if origin in (Union, types.UnionType):
        return _union(list(get_args(annotation)), metadata)
    if origin is Literal:
        return _choices(get_args(annotation), metadata)
    if origin is list:
        lenient = any(isinstance(m, BeforeValidator) and m.func is as_list for m in metadata)
        return Shape(item=_shape(get_args(annotation)[0]), one_for_list=lenient, metadata=metadata)
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return Shape(classes={"": annotation}, metadata=metadata)
    shape = Shape(type=origin or annotation, metadata=metadata)
    pattern = _CHOICE_PATTERN.fullmatch(str(shape.bound("pattern")))
    return replace(shape, choices=tuple(pattern[1].split("|"))) if pattern else shape


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, Rule) else [item]


def _choices(values: tuple[Any, ...], metadata: tuple[Any, ...]) -> Shape:
    return Shape(type=type(values[0]), choices=values, metadata=metadata)


def _union(parts: list[Any], metadata: tuple[Any, ...]) -> Shape:
    present = [part for part in parts if part is not types.NoneType]
    optional = len(present) < len(parts)
    if len(present) == 1:
        return replace(_shape(present[0], metadata), optional=optional)
    value, *words = present
    if words and get_origin(words[0]) is Literal:
        return replace(_shape(value, metadata), optional=optional, words=get_args(words[0]))
    return Shape(optional=optional, classes={tag_of(part): part for part in present}, metadata=metadata)


def class_for(shape: Shape, kind: Any) -> type[Settings] | None:
    """The class of a mapping at a place, `kind` being what it says; None where the kind is unknown."""
    if "" in shape.classes:
        return shape.classes[""]
    return shape.classes.get(kind) if isinstance(kind, str) else None


@cache
def accepts_text(settings_class: type[Settings]) -> bool:
    """True where a bare text may stand for the whole mapping, as a stem does for a text source."""
    return isinstance(settings_class.spelt_out("text"), dict)


def is_choice(settings_class: type[Settings]) -> bool:
    """True for a mapping of which some keys are given and the others are simply not there."""
    return "minProperties" in settings_class.schema_extra


def tree(settings: Settings) -> dict[str, Any]:
    """All values of an object by key, defaults included; nested objects as mappings."""
    values = {}
    for key, setting in fields_of(type(settings)).items():
        value = getattr(settings, setting.name)
        if value is not None or not is_choice(type(settings)):
            values[key] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return tree(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a tree with its path; a list of plain values and an empty mapping are one value."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def text_rule(shape: Shape) -> str:
    """What a text must be like, as its own validator says it; "" where any text will do."""
    for item in shape.metadata:
        if isinstance(item, AfterValidator):
            try:
                item.func("")
            except ValueError as error:
                return str(error).removeprefix("expected ")
    return ""
