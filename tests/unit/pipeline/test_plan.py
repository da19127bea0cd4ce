from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.corpus import CorpusSettings
from mtkit.config.recipe import Recipe
from mtkit.errors import RecipeError
from mtkit.files import write_text
from mtkit.log import RunContext
from mtkit.pipeline.graph import needed, of_kind
from mtkit.pipeline.plan import differences, named
from mtkit.pipeline.runner import run
from mtkit.pipeline.store import Store

Read = Callable[..., Recipe]


@pytest.fixture
def plan_lines(read: Read, store: Store, context: RunContext) -> Callable[..., list[str]]:
    """Runs the toy recipe once, then plans it with overrides."""
    run(read(), None, store, context)

    def planned(*overrides: str) -> list[str]:
        return list(run(read(*overrides), None, store, context, dry_run=True).lines)

    return planned


def test_a_new_recipe_never_ran(read: Read, store: Store, context: RunContext) -> None:
    result = run(read(), None, store, context, dry_run=True)
    assert result.lines == (
        "text    to run, because it never ran",
        "repeat  to run, because it never ran",
        "count   to run, because it never ran",
    )
    assert not store.root.exists()
    assert not result.folder.exists()


def test_what_is_stored_says_so(plan_lines: Callable[..., list[str]]) -> None:
    assert plan_lines() == ["text    stored", "repeat  stored", "count   stored"]


def test_an_edited_key_reruns_exactly_its_dependants(plan_lines: Callable[..., list[str]]) -> None:
    assert plan_lines("stages.repeat.times=3") == [
        "text    stored",
        "repeat  to run, because stages.repeat.times 2 → 3",
        "count   to run, because repeat changed",
    ]
    assert plan_lines("stages.count.what=lines") == [
        "text    stored",
        "repeat  stored",
        "count   to run, because stages.count.what letters → lines",
    ]
    assert plan_lines("stages.text.buffer_bytes=3") == plan_lines()


def test_an_edited_list_is_told_item_by_item(plan_lines: Callable[..., list[str]]) -> None:
    assert "stages.repeat.glue.1 (nothing) → x" in plan_lines('stages.repeat.glue=["-", "x"]')[1]


def test_changed_data_is_named(plan_lines: Callable[..., list[str]], toy_recipe: Path) -> None:
    write_text(toy_recipe.parent / "text.txt", "Ein anderer Satz\n")
    assert plan_lines()[0] == "text    to run, because the data of stages.text.file (text.txt) changed"
    assert plan_lines()[1] == "repeat  to run, because text changed"


def test_a_changed_seed_and_language_are_told(plan_lines: Callable[..., list[str]]) -> None:
    assert plan_lines("seed=2")[1].endswith("because seed 1 → 2")
    assert plan_lines("target=fr")[0].endswith("because its languages changed")


def test_a_new_version_of_a_kind_is_told(
    plan_lines: Callable[..., list[str]], read: Read, store: Store, context: RunContext
) -> None:
    recipe = read()
    stage = recipe.stages["count"]
    stages = {**recipe.stages, "count": replace(stage, kind=replace(stage.kind, version=2))}
    result = run(replace(recipe, stages=stages), None, store, context, dry_run=True)
    assert result.lines[2].endswith("because mtkit makes it otherwise now (version 1 → 2)")


def test_damage_is_told(plan_lines: Callable[..., list[str]], store: Store) -> None:
    (next(store.root.glob("repeat-*")) / "deep/text").unlink()
    assert plan_lines()[1].endswith("because what is stored is damaged: deep/text is missing")
    assert (
        plan_lines()[2] == "count   stored"
    )  # its own result is whole and what it was made of has not changed


def test_only_what_the_goal_needs_is_planned(read: Read) -> None:
    assert [stage.name for stage in needed(read(), ["repeat"])] == ["text", "repeat"]
    with pytest.raises(RecipeError, match="no stage named 'nothing'") as caught:
        needed(read(), ["nothing"])
    assert "text, repeat, count" in caught.value.expected


def test_stages_of_a_kind_are_found_or_missed(read: Read) -> None:
    assert of_kind(read(), "count") == ["count"]
    with pytest.raises(RecipeError, match="no stage of kind train"):
        of_kind(read(), "train")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", "1", "2")]),
        ({"a": None}, {"a": {"b": 2}}, [("a", "None", "{'b': 2}")]),
        ({"a": 1}, {}, [("a", "1", "(nothing)")]),
        ([1, 2], [1], [("1", "2", "(nothing)")]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"c": 2}]}, [("a.1", "(nothing)", "{'c': 2}")]),
    ],
)
def test_differences_are_found_at_any_depth(before: Any, now: Any, expected: list[tuple[str, ...]]) -> None:
    assert [
        (path.lstrip("."), repr(old), repr(new)) for path, old, new in differences(before, now)
    ] == expected


def test_a_source_of_pairs_that_was_taken_out_of_a_list_is_no_crash() -> None:
    settings = CorpusSettings.model_validate({"train": ["one", "two"]})
    assert named(settings, "train.1") == " ({stem: two})"
    assert named(settings, "train.2") == ""
