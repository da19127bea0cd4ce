"""What a settings class says of its fields beside their types. Light: no pydantic."""

from collections.abc import Callable, Mapping
from copy import copy
from types import SimpleNamespace
from typing import Any, NamedTuple

NOTHING: Any = object()  # in the place of a default: there is none


class AfterValidator(NamedTuple):
    """In `Annotated`: what a value of the right type has to pass; it raises ValueError, or gives it back."""

    func: Callable[[Any], Any]


class BeforeValidator(NamedTuple):
    """In `Annotated`: what a value goes through before its type is looked at."""

    func: Callable[[Any], Any]


class Rule:
    """What a class says of one of its fields.

    Attributes:
        annotation: its type.
        alias: its key where that cannot be a Python name; None: its name.
        description: what the value does, its unit, its source.
        factory: makes the value where it is left out; None: there is a default, or it must be given.
        limits: `ge`, `gt`, `le`, `lt`, `min_length`, `pattern`; those that were given.
        beside: what else pydantic or the JSON Schema needs to know, under pydantic's names.
    """

    __slots__ = ("_default", "alias", "annotation", "beside", "description", "factory", "limits")

    def __init__(
        self,
        default: Any = NOTHING,
        factory: Callable[[], Any] | None = None,
        alias: str | None = None,
        description: str | None = None,
        limits: Mapping[str, Any] | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        self._default = default
        self.factory = factory
        self.alias = alias
        self.description = description
        self.limits = limits or {}
        self.beside = beside or {}
        self.annotation: Any = None

    @property
    def is_required(self) -> bool:
        """True if there is no default: it must be given."""
        return self._default is NOTHING and self.factory is None

    @property
    def default(self) -> Any:
        """The value where it is left out, of its own for each object; None where it must be given."""
        if self.factory is not None:
            return self.factory()
        if isinstance(self._default, list | dict):
            return copy(self._default)
        return None if self.is_required else self._default

    @property
    def metadata(self) -> tuple[Any, ...]:
        """Its limits as an object that has each as an attribute, or nothing."""
        return (SimpleNamespace(**self.limits),) if self.limits else ()


def Field(  # noqa: N802 - the name that it has everywhere
    default: Any = NOTHING,
    *,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    description: str | None = None,
    discriminator: str | None = None,
    json_schema_extra: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Any:
    """Say of a field, or within `Annotated` of a type, what its type does not.

    Args:
        default: the value where it is left out; without it and `default_factory` it must be given.
        default_factory: makes that value.
        alias: its key in recipes and files.
        description: what the value does, its unit, its source.
        discriminator: the field that tells the classes of a union apart.
        json_schema_extra: added to its JSON Schema.
        limits: `ge`, `gt`, `le`, `lt`, `min_length`, `pattern`.
    """
    beside = {"discriminator": discriminator, "json_schema_extra": json_schema_extra}
    beside = {name: value for name, value in beside.items() if value is not None}
    return Rule(default, default_factory, alias, description, limits, beside)
