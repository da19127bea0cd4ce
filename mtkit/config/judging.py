"""Values judged by pydantic: a settings class as a model of pydantic's, made when it is first needed.

The classes are those of `settings.py`, which asks for this module when something is to be judged.
"""

from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model
from pydantic import ValidationError as ValidationError  # for other rooms too
from pydantic_core import CoreSchema, core_schema

from mtkit.config import rules


def judged(settings_class: Any, value: Any, *, strict: bool | None = None) -> Any:
    """A settings object of plain values.

    Args:
        settings_class: its class.
        value: values by key.
        strict: False to take what can be turned into the right type; None: do not.

    Raises:
        ValidationError: of pydantic, which holds every problem.
    """
    return _adapter(settings_class).validate_python(value, strict=strict)


def misfits(error: ValueError) -> list[str]:
    """The dotted names of the fields that a failed validation found missing or wrong."""
    problems = error.errors() if isinstance(error, ValidationError) else []
    return [".".join(map(str, problem["loc"])) for problem in problems if problem["loc"]]


@cache
def model_of(settings_class: Any) -> type[BaseModel]:
    """A settings class as a model of pydantic's, with the same name, fields and documentation."""
    config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        json_schema_extra=dict(settings_class.schema_extra) or None,
    )
    fields: dict[str, Any] = {
        name: (_annotation(rule.annotation), _field(rule))
        for name, rule in settings_class.model_fields.items()
    }
    name, module = settings_class.__name__, settings_class.__module__
    return create_model(name, __config__=config, __doc__=settings_class.__doc__, __module__=module, **fields)


def core_schema_of(settings_class: Any, handler: Any) -> CoreSchema:
    """How pydantic judges what stands in the place of a settings object; asked for by pydantic."""
    inner = handler.generate_schema(model_of(settings_class))
    return core_schema.no_info_wrap_validator_function(partial(_made, settings_class), inner)


@cache
def _adapter(settings_class: Any) -> TypeAdapter[Any]:
    return TypeAdapter(settings_class, config=ConfigDict(title=settings_class.__name__))


def _made(settings_class: type[Any], value: Any, judge: Any) -> Any:
    if isinstance(value, settings_class):
        return value
    found: BaseModel = judge(settings_class.spelt_out(value))
    return settings_class.model_construct(found.model_fields_set, **vars(found))


def _field(rule: rules.Rule) -> Any:
    said = {**rule.beside, **rule.limits}
    if rule.factory is not None:
        said["default_factory"] = rule.factory
    elif not rule.is_required:
        said["default"] = rule.default
    return Field(alias=rule.alias, description=rule.description, **said)


def _annotation(annotation: Any) -> Any:
    """A type with what is said of it in pydantic's words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_annotation(parts[0]), *map(_in_words_of_pydantic, parts[1:]))]
    if origin in (Union, UnionType):
        return Union[tuple(map(_annotation, parts))]  # noqa: UP007 - of a number of types
    if origin in (list, dict):
        return origin[tuple(map(_annotation, parts))]
    return annotation


def _in_words_of_pydantic(said: Any) -> Any:
    if isinstance(said, rules.Rule):
        return Field(**said.beside, **said.limits)
    if isinstance(said, rules.AfterValidator):
        return AfterValidator(said.func)
    return BeforeValidator(said.func) if isinstance(said, rules.BeforeValidator) else said
