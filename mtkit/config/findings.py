"""What settings that are sound each by itself have against each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtkit.config.settings import Finding, Settings

if TYPE_CHECKING:
    from mtkit.config.nodes import Path


def findings(settings: Settings, path: "Path" = ()) -> "Iterator[tuple[Path, Finding]]":
    """The findings of an object and of everything in it, each with the path of the object it came from."""
    for finding in settings.findings():
        yield path, finding
    for name, rule in type(settings).model_fields.items():
        key, value = rule.alias or name, getattr(settings, name)
        if isinstance(value, Settings):
            yield from findings(value, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Settings):
                    yield from findings(item, (*path, key, index))
