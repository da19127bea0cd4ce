"""The root of every settings class: typed, frozen, complete before anything runs.

A default is written once, here in the class. A field's description is its documentation: `mtkit recipe
explain` and the JSON Schema are made from it, so it says what the value does, its unit, and its source.

Light: a class is plain Python until values have to be judged, which pydantic does (`judging.py`). To import
it takes longer than to translate a sentence with a deployed model, whose settings were judged before.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin

from mtkit.config.rules import NOTHING, Field, Rule

if TYPE_CHECKING:
    from typing import Self, dataclass_transform
else:

    def dataclass_transform(**_said: Any) -> Callable[[type], type]:
        """A word for type checkers."""
        return lambda settings_class: settings_class


_GIVEN = "_given"  # where an object keeps the names of the fields that it was given


class Finding(NamedTuple):
    """A problem between settings that no single field's type can see.

    Attributes:
        path: the keys from the settings object down to the culprit, e.g. `("model", "heads")`.
        found: what was found.
        expected: what would be right.
        advice: what to do next.
        idle: True if the culprit is a setting without effect, which changes nothing if it is left out.
    """

    path: tuple[str | int, ...]
    found: str
    expected: str = ""
    advice: str = ""
    idle: bool = False


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class SettingsClass(type):
    """The type of settings classes; mypy takes classes for keys of a cache only where they have one."""


class Settings(metaclass=SettingsClass):
    """A frozen mapping of typed values; an unknown key is an error.

    A class names in `outside_fingerprint` the fields whose value alone cannot change what a stage writes:
    paths (the files' contents count instead) and settings of speed and memory.

    Raises:
        ValueError: of pydantic, where it is made of values that the class does not allow; all at once.
    """

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset()
    schema_extra: ClassVar[Mapping[str, Any]] = {}  # added to the class's JSON Schema
    model_fields: ClassVar[dict[str, Rule]] = {}  # of the bases, then its own

    def __init_subclass__(cls) -> None:
        cls.model_fields = dict(cls.model_fields)
        for name, annotation in cls.__annotations__.items():
            origin: Any = get_origin(annotation)
            if origin is ClassVar:
                continue
            default = cls.__dict__.get(name, NOTHING)
            rule = default if isinstance(default, Rule) else Rule(default)
            rule.annotation = annotation
            cls.model_fields[name] = rule
            if name in cls.__dict__:
                delattr(cls, name)

    def __init__(self, **values: Any) -> None:
        if values:
            vars(self).update(vars(type(self).model_validate(values)))
        else:
            self._fill({}, frozenset())

    def _fill(self, values: Mapping[str, Any], given: Collection[str]) -> None:
        """Take judged values, and the defaults of the others."""
        rules = type(self).model_fields
        left = [name for name in rules if name not in values]
        if any(rules[name].is_required for name in left):  # pydantic says it as it says everything else
            type(self).model_validate(values)
        inside = {**values, **{name: rules[name].default for name in left}}
        vars(self).update(inside, **{_GIVEN: frozenset(given)})

    @classmethod
    def model_construct(cls, _fields_set: Collection[str] | None = None, **values: Any) -> "Self":
        """An object of values that have been judged; `_fields_set` are those that count as given."""
        made = cls.__new__(cls)
        made._fill(values, values.keys() if _fields_set is None else _fields_set)
        return made

    @classmethod
    def model_validate(cls, value: Any, *, strict: bool | None = None) -> "Self":
        """An object of plain values.

        Args:
            value: values by key; an object of the class is given back.
            strict: False to take what can be turned into the right type, as of JSON; None: do not.

        Raises:
            ValueError: pydantic's ValidationError, which holds every problem.
        """
        if isinstance(value, cls):
            return value
        from mtkit.config.judging import judged

        made: Self = judged(cls, value, strict=strict)
        return made

    @classmethod
    def restored(cls, value: Any) -> "Self":
        """An object of what `model_dump` gave for JSON, which was judged before and is known to be unchanged.

        It is judged again only if the class has changed so that it knows other keys.
        """
        rules = {rule.alias or name: (name, rule) for name, rule in cls.model_fields.items()}
        needed = {key for key, (_, rule) in rules.items() if rule.is_required}
        if not isinstance(value, dict) or not needed <= value.keys() <= rules.keys():
            return cls.model_validate(value)
        values = {rules[key][0]: _restored(rules[key][1].annotation, item) for key, item in value.items()}
        return cls.model_construct(**values)

    @classmethod
    def spelt_out(cls, value: Any) -> Any:
        """The mapping that a value stands for; classes with a short form override it."""
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        from mtkit.config.judging import core_schema_of

        return core_schema_of(cls, handler)

    @property
    def model_fields_set(self) -> frozenset[str]:
        """The names of the fields that were given; the others have their defaults."""
        given: frozenset[str] = vars(self)[_GIVEN]
        return given

    def model_copy(self, *, update: Mapping[str, Any]) -> "Self":
        """The same with other values, which are not judged and count as given."""
        values = {name: vars(self)[name] for name in type(self).model_fields}
        return type(self).model_construct(self.model_fields_set | update.keys(), **{**values, **update})

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        by_alias: bool = False,
        exclude_unset: bool = False,
    ) -> dict[str, Any]:
        """The values as plain ones, those of inner objects too.

        Args:
            mode: `json` to have only what JSON knows.
            include: names of those that are wanted; None: all.
            exclude: names of those that are not.
            by_alias: under the keys of recipes and files.
            exclude_unset: without what was not given.
        """
        inner = {"mode": mode, "by_alias": by_alias, "exclude_unset": exclude_unset}
        return {
            (rule.alias or name) if by_alias else name: _plain(vars(self)[name], inner)
            for name, rule in type(self).model_fields.items()
            if (include is None or name in include)
            and name not in (exclude or ())
            and (not exclude_unset or name in self.model_fields_set)
        }

    def findings(self) -> Iterator[Finding]:
        """The problems between this object's own fields (nested objects report their own).

        A setting that was given (`self.model_fields_set`) and can have no effect is such a problem.
        """
        return iter(())

    def findings_beside(self, _behind: Mapping[str, "Settings"]) -> Iterator[Finding]:
        """The problems between a stage's settings and those of the stages it reads, at first hand or through
        others, by role."""
        return iter(())

    def _values(self) -> tuple[Any, ...]:
        return tuple(vars(self)[name] for name in type(self).model_fields)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={vars(self)[name]!r}" for name in type(self).model_fields)
        return f"{type(self).__name__}({inside})"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be removed")


def _plain(value: Any, asked: dict[str, Any]) -> Any:
    if isinstance(value, Settings):
        return value.model_dump(**asked)
    if isinstance(value, dict):
        return {key: _plain(item, asked) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, asked) for item in value]
        return items if asked["mode"] == "json" or isinstance(value, list) else tuple(items)
    return str(value) if asked["mode"] == "json" and isinstance(value, Path) else value


def _restored(annotation: Any, value: Any) -> Any:
    """A value of JSON as its type wants it: inner objects where the type has them."""
    if isinstance(value, dict):
        classes = _classes(annotation)
        fitting = [one for one in classes if len(classes) == 1 or tag_of(one) == value.get("kind")]
        return fitting[0].restored(value) if fitting else value
    if isinstance(value, list):
        return [_restored(annotation, item) for item in value]
    return value


def tag_of(settings_class: type[Settings]) -> str:
    """The value of a class's `kind`, or ""."""
    rule = settings_class.model_fields.get("kind")
    return str(get_args(rule.annotation)[0]) if rule and get_origin(rule.annotation) is Literal else ""


@cache
def _classes(annotation: Any) -> tuple[type[Settings], ...]:
    """The settings classes that a type speaks of, outside of mappings."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return (annotation,)
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _classes(parts[0])
    inner = parts if get_origin(annotation) in (Union, UnionType, list) else ()
    return tuple(found for part in inner for found in _classes(part))
