"""Where an unknown key belongs: a misspelt neighbour, another mapping of the stage, another stage."""

from collections.abc import Iterator, Mapping, Sequence

from mtkit.config.fields import fields_of
from mtkit.config.head import STRUCTURE
from mtkit.config.kind import Kind
from mtkit.config.nearest import did_you_mean, nearest
from mtkit.config.nodes import Path, dotted
from mtkit.config.settings import Settings


class Hints:
    """Hints for one recipe.

    Args:
        kinds: all kinds.
        stages: stage name → kind, of this recipe.
        head: the class of the recipe's own settings.
    """

    def __init__(self, kinds: Mapping[str, Kind], stages: Mapping[str, Kind], head: type[Settings]) -> None:
        self._kinds, self._stages, self._head = kinds, stages, head

    def __call__(self, key: str, path: Path, known: Sequence[str]) -> str:
        """What an unknown `key` of the mapping at `path` may mean; "" if nothing is near."""
        if not path:
            return self._of_recipe(key, [*known, "stages"])
        stage = str(path[1])
        known = [*known, *STRUCTURE] if len(path) == 2 else known
        here = {home for home in self._homes(stage) if home[-1] == key}
        near = _said(key, here) or did_you_mean(key, known)
        if near:
            return near
        if key in fields_of(self._head) and key != "base":
            return f"`{key}` is a setting of the whole recipe, not of a stage."
        others = [home for other in self._stages if other != stage for home in self._homes(other)]
        missing = [kind for name, kind in self._kinds.items() if name not in self._stages]
        others += [home for kind in missing for home in _paths(kind.settings, ("stages", kind.name))]
        return _said(key, {home for home in others if home[-1] == key}) or self._deeper(key, stage)

    def _deeper(self, key: str, stage: str) -> str:
        """A misspelt key of a mapping further down in the same stage."""
        deeper = {home[-1]: home for home in sorted(self._homes(stage), key=len, reverse=True)}
        near = nearest(key, list(deeper))
        return f"Did you mean '{dotted(deeper[near])}'?" if near else ""

    def _of_recipe(self, key: str, known: Sequence[str]) -> str:
        if key in self._kinds or key in self._stages:
            return f"Stages are written under `stages`: stages.{key}."
        near = did_you_mean(key, known)
        homes = [home for stage in self._stages for home in self._homes(stage)]
        return near or _said(key, {home for home in homes if home[-1] == key})

    def _homes(self, stage: str) -> Iterator[tuple[str, ...]]:
        kind = self._stages.get(stage)
        return _paths(kind.settings, ("stages", stage)) if kind else iter(())


def _paths(settings_class: type[Settings], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every setting of a class and of the classes within."""
    for key, field in fields_of(settings_class).items():
        yield (*path, key)
        shape = field.shape.item or field.shape
        for inner in shape.classes.values():
            yield from _paths(inner, (*path, key))


def _said(key: str, homes: set[tuple[str, ...]]) -> str:
    if not homes:
        return ""
    nearest = sorted(homes, key=lambda home: (len(home), home))[0]
    return f"`{key}` is a setting of {dotted(nearest[:-1])}."
