"""What a setting is: type, range, default, meaning; for a mapping, all that can be set in it."""

import textwrap
from collections.abc import Iterator, Mapping

from mtkit.config.checking import MANY_KEYS
from mtkit.config.fields import SettingField, fields_of
from mtkit.config.head import RecipeHead, StageHead
from mtkit.config.hints import Hints
from mtkit.config.kind import Kind
from mtkit.config.problems import one_of
from mtkit.config.scalars import flow_text
from mtkit.config.settings import Settings, tag_of
from mtkit.config.words import expected_words
from mtkit.errors import RecipeError

_WIDTH = 100


def explain(path: str, kinds: Mapping[str, Kind]) -> str:
    """Explain the setting or the mapping at a dotted path; `stages.` may be left out, "" is the whole recipe.

    Raises:
        RecipeError: there is no such setting.
    """
    parts = [part for part in path.split(".") if part]
    if parts[:1] == ["stages"]:
        parts = parts[1:]
        if not parts:
            return _all_kinds(kinds)
    if not parts:
        return _class_text("a recipe", RecipeHead) + "\n" + _all_kinds(kinds)
    if parts[0] in kinds:
        return _explained(["stages", *parts], kinds[parts[0]].settings, 2, kinds)
    return _explained(parts, RecipeHead, 0, kinds)


def _all_kinds(kinds: Mapping[str, Kind]) -> str:
    width = max(map(len, kinds), default=0)
    lines = [f"  {name:<{width}}  {kind.purpose}" for name, kind in kinds.items()]
    more = [f"  {key:<{width}}  {field.description}" for key, field in fields_of(StageHead).items()]
    return "\n".join(
        ["stages", "", *lines, "", "Beside its settings a stage may have", "", *more, "",
         "`mtkit recipe explain NAME` lists the settings of a stage."]
    ) + "\n"  # fmt: skip


def _explained(parts: list[str], owner: type[Settings], at: int, kinds: Mapping[str, Kind]) -> str:
    """Follow `parts[at:]` from a class to a setting or a mapping."""
    classes: list[type[Settings]] = [owner]
    field: SettingField | None = None
    default: object = None
    for index in range(at, len(parts)):
        part = parts[index]
        if part.isdigit() and field is not None and field.shape.item is not None:
            continue
        before = classes
        known = _field(part, classes, stage_level=at == 2 and index == 2)
        if known is None:
            field = None
            classes = [each for each in classes if tag_of(each) == part]
            if not classes:
                raise _unknown(parts[: index + 1], before, kinds)
            continue
        owner, field = known
        default = getattr(default, field.name) if type(default) is owner else field.default
        classes = list((field.shape.item or field.shape).classes.values())
    name = ".".join(parts)
    return _class_text(name, classes[0]) if field is None else _field_text(name, field, default)


def _field(
    key: str, classes: list[type[Settings]], *, stage_level: bool
) -> tuple[type[Settings], SettingField] | None:
    """The first class that has a setting of this name, and the setting."""
    extra: list[type[Settings]] = [StageHead] if stage_level else []
    for each in [*classes, *extra]:
        if key in fields_of(each):
            return each, fields_of(each)[key]
    return None


def _unknown(parts: list[str], classes: list[type[Settings]], kinds: Mapping[str, Kind]) -> RecipeError:
    known = [key for each in classes for key in fields_of(each)]
    if len(parts) == 1:
        known += [*kinds, "stages"]
    elsewhere = Hints(kinds, dict(kinds), RecipeHead)
    in_stage = parts[0] == "stages"
    advice = elsewhere(parts[-1], tuple(parts[:-1]) if in_stage else (), known)
    return RecipeError(
        "no such setting",
        where=".".join(parts),
        expected=one_of(known) if known and not advice and len(known) <= MANY_KEYS else "",
        advice=advice or "`mtkit recipe explain` without a path lists everything.",
    )


def _field_text(name: str, field: SettingField, default: object) -> str:
    lines = [name, *_wrapped(field.description, "  "), ""]
    lines.append(f"  type      {expected_words(field.shape)}")
    lines.append(f"  default   {_default(field, default) or 'see below'}")
    inner = list(_inner(field, default, 2))
    return "\n".join([*lines, *([""] if inner else []), *inner]) + "\n"


def _class_text(name: str, settings_class: type[Settings]) -> str:
    lines = [name, *_wrapped(_purpose(settings_class), "  "), ""]
    return "\n".join([*lines, *_settings(settings_class, 2)]) + "\n"


def _purpose(settings_class: type[Settings]) -> str:
    return " ".join((settings_class.__doc__ or "").split())


def _settings(settings_class: type[Settings], indent: int, defaults: Settings | None = None) -> Iterator[str]:
    """Every setting of a class with default, meaning and type, those of mappings indented below.

    Args:
        defaults: the object that stands here when nothing is given, if it is of this class.
    """
    for key, field in fields_of(settings_class).items():
        if key == "kind" and tag_of(settings_class):
            continue
        own = getattr(defaults, field.name) if type(defaults) is settings_class else field.default
        default = _default(field, own)
        yield f"{' ' * indent}{key}:{' ' + default if default else ''}"
        words = expected_words(field.shape)
        meaning = f"{field.description}; " if field.description else ""
        yield from _wrapped(f"{meaning}{words}", " " * (indent + 6))
        yield from _inner(field, own, indent + 2)


def _inner(field: SettingField, default: object, indent: int) -> Iterator[str]:
    own = default if isinstance(default, Settings) else None
    shape = field.shape.item or field.shape
    for tag, inner in shape.classes.items():
        if tag:
            yield f"{' ' * indent}kind: {tag}"
            yield from _wrapped(_purpose(inner), " " * (indent + 6))
            yield from _settings(inner, indent + 2, own)
        else:
            yield from _settings(inner, indent, own)


def _default(field: SettingField, value: object) -> str:
    """The default as YAML; for a mapping its kind, or "" where its own settings tell."""
    if field.required:
        return "(must be given)"
    if isinstance(value, Settings):
        tag = tag_of(type(value))
        return f"{{kind: {tag}}}" if tag else ""
    return flow_text(value)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
