"""The settings around the stages: what a recipe says of itself, and what every stage may say of itself."""

import re
from typing import Annotated

from mtkit.config.fields import fields_of
from mtkit.config.rules import AfterValidator, Field
from mtkit.config.settings import Settings
from mtkit.config.values import AsList

_LANGUAGE = r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def language_code(code: str) -> str:
    """A code that can name a language.

    Raises:
        ValueError: it cannot.
    """
    if not re.match(_LANGUAGE, code):
        raise ValueError("expected a language code such as de, pt_BR or zh-Hans")
    return code


def recipe_name(name: str) -> str:
    """A name that can be a folder's.

    Raises:
        ValueError: it cannot.
    """
    if not re.match(_NAME, name):
        raise ValueError("expected letters, digits, `.`, `_` and `-`")
    return name


Language = Annotated[str, AfterValidator(language_code), Field(json_schema_extra={"pattern": _LANGUAGE})]
Name = Annotated[str, AfterValidator(recipe_name), Field(json_schema_extra={"pattern": _NAME})]


class RecipeHead(Settings):
    """Recipe: everything of it but the stages."""

    recipe: Name | None = Field(
        default=None, description="its name, and that of its folder under runs/; left out: the file's name"
    )
    about: str = Field(default="", description="one line on what it is for")
    base: Annotated[list[str], AsList] = Field(
        default_factory=list,
        description="recipe file or files it builds on, beside this one or shipped; later ones win,"
        " mappings merge, everything else replaces; at most two levels;"
        " recipe, about and expect are not inherited,"
        " nor is a setting without effect beside the recipe's own",
    )
    source: Language = Field(description="language of the source side")
    target: Language = Field(description="language of the target side")
    seed: int = Field(default=1, ge=0, le=2**32 - 1, description="decides everything that is drawn by chance")
    expect: dict[str, str] = Field(
        default_factory=dict,
        description="what the run should come to: `test.bleu: 32 to 34.5`, `minutes: at most 15`;"
        " compared after the run, part of no fingerprint",
    )


class StageHead(Settings):
    """What every stage may say beside its settings."""

    kind: str | None = Field(
        default=None, description="what the stage does; left out: its name says it, or `like`"
    )
    like: str | None = Field(
        default=None,
        description="a stage whose kind, settings and `from` are copied; what is given here is laid over",
    )
    from_: Annotated[list[str], AsList] | None = Field(
        default=None,
        alias="from",
        description="the stage or stages it reads; left out: those named as the kinds it reads",
    )


STRUCTURE: tuple[str, ...] = tuple(fields_of(StageHead))
