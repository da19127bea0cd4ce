"""The toy recipe read, a store for it, and talk that is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.kind import Kind
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.log import RunContext
from mtkit.pipeline.store import Store


@pytest.fixture
def read(toy_recipe: Path, toy_kinds: Mapping[str, Kind]) -> Callable[..., Recipe]:
    """Reads the toy recipe, with `--set` overrides."""

    def read_toy(*overrides: str) -> Recipe:
        return read_recipe(toy_recipe, toy_kinds, overrides)

    return read_toy


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs" / "store")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def context(said: list[str], monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A context whose talk is kept in `said`."""

    def keep(self: RunContext, text: str) -> None:
        import mtkit.log

        said.append(text)
        mtkit.log.say(text, quiet=True)

    monkeypatch.setattr(RunContext, "say", keep)
    return RunContext()


@pytest.fixture
def once_within(toys: Any) -> Callable[[str, Callable[[], object]], None]:
    """Calls something the first time that a stage runs, in the midst of it."""

    def arrange(stage: str, called: Callable[[], object]) -> None:
        waiting = [called]

        def look(name: str, _out: Path) -> None:
            if name == stage and waiting:
                waiting.pop()()

        toys.before = look

    return arrange
