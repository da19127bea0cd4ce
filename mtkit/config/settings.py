"""The root of every settings class: typed, frozen, complete before anything runs.

A default is written once, here in the class. A field's description is its documentation: `mtkit recipe
explain` and the JSON Schema are made from it, so it says what the value does, its unit, and its source.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Field", "Finding", "Settings", "misfits"]


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


class Settings(BaseModel):
    """A frozen mapping of typed values; an unknown key is an error.

    A class names in `outside_fingerprint` the fields whose value alone cannot change what a stage writes:
    paths (the files' contents count instead) and settings of speed and memory.
    """

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    def findings(self) -> Iterator[Finding]:
        """The problems between this object's own fields (nested objects report their own).

        A setting that was given (`self.model_fields_set`) and can have no effect is such a problem.
        """
        return iter(())

    def findings_beside(self, _behind: Mapping[str, "Settings"]) -> Iterator[Finding]:
        """The problems between a stage's settings and those of the stages it reads, at first hand or through
        others, by role."""
        return iter(())


def misfits(error: ValueError) -> list[str]:
    """The dotted names of the fields that a failed validation found missing or wrong."""
    problems = error.errors() if isinstance(error, ValidationError) else []
    return [".".join(map(str, problem["loc"])) for problem in problems if problem["loc"]]
