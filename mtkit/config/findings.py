"""What settings that are sound each by itself have against each other."""

from collections.abc import Iterator

from mtkit.config.fields import fields_of
from mtkit.config.nodes import Path
from mtkit.config.settings import Finding, Settings


def findings(settings: Settings, path: Path = ()) -> Iterator[tuple[Path, Finding]]:
    """The findings of an object and of everything in it, each with the path of the object it came from."""
    for finding in settings.findings():
        yield path, finding
    for key, field in fields_of(type(settings)).items():
        value = getattr(settings, field.name)
        if isinstance(value, Settings):
            yield from findings(value, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Settings):
                    yield from findings(item, (*path, key, index))
