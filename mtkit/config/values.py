"""Values with a unit, as people write them in a recipe: `250 updates`, `8 validations`."""

import re
from typing import Annotated, Any

from mtkit.config.rules import AfterValidator, BeforeValidator, Field


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _counted(units: tuple[str, ...]) -> Any:
    """A validator for `N unit`; the singular is accepted for 1."""

    def check(text: str) -> str:
        match = re.fullmatch(r"(\d[\d_]*) ([a-z]+)", _spaced(text))
        wanted = " or ".join(f"'N {unit}'" for unit in units)
        if not match or not int(match[1]):
            raise ValueError(f"expected {wanted} with N of at least 1")
        unit = match[2] if match[2].endswith("s") else match[2] + "s"
        if unit not in units:
            raise ValueError(f"expected {wanted}")
        return f"{int(match[1])} {unit}"

    return check


def amount(text: str) -> int:
    """The number in `250 updates`."""
    return int(text.split(" ")[0])


def unit(text: str) -> str:
    """The unit in `250 updates`."""
    return text.split(" ")[1]


Interval = Annotated[str, AfterValidator(_counted(("updates", "epochs")))]
Patience = Annotated[str, AfterValidator(_counted(("validations",)))]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


def as_list(value: Any) -> Any:
    """One value where a list is expected is a list of one."""
    return value if isinstance(value, list) or value is None else [value]


AsList = BeforeValidator(as_list)
