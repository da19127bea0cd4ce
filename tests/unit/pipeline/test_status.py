import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.recipe import Recipe
from mtkit.errors import DataError
from mtkit.files import write_text
from mtkit.log import RunContext
from mtkit.pipeline.runner import run
from mtkit.pipeline.status import run_lines, size, store_lines, unneeded
from mtkit.pipeline.store import Store

Read = Callable[..., Recipe]


def lines(store: Store, name: str | None = None, *, verify: bool = False) -> list[str]:
    return list(run_lines(store.root.parent, name, verify=verify, now=time.time()))


def test_without_runs_it_says_so(store: Store) -> None:
    assert lines(store) == [f"no runs in {store.root.parent}"]


def test_a_finished_run_shows_its_stages(read: Read, store: Store, context: RunContext) -> None:
    run(read(), None, store, context)
    head, *stages = lines(store)
    assert head.startswith("toy: finished 20")
    assert [line.split()[:2] for line in stages] == [
        ["text", "stored"],
        ["repeat", "stored"],
        ["count", "stored"],
    ]


def test_an_interrupted_stage_shows_how_far_it_came(
    read: Read, store: Store, context: RunContext, toys: Any
) -> None:
    def stop(name: str, out: Path) -> None:
        if name == "repeat":
            with (out / "events.jsonl").open("a") as stream:
                stream.write('{"event": "update", "update": 1200}\n')
            raise KeyboardInterrupt

    toys.before = stop
    with pytest.raises(KeyboardInterrupt):
        run(read(), None, store, context)
    head, _, repeat, count = lines(store)
    assert head == "toy: not finished"
    assert "interrupted" in repeat
    assert "update 1,200" in repeat
    assert "not made yet" in count
    assert unneeded(store.root.parent) == []  # the same command would go on with it


def test_a_running_stage_shows_who_runs_it(read: Read, store: Store, context: RunContext, toys: Any) -> None:
    seen: list[str] = []
    toys.before = lambda *_: seen.extend(lines(store))
    run(read(), "text", store, context)
    assert "running (process " in seen[1]


def test_only_verifying_finds_a_flipped_bit(read: Read, store: Store, context: RunContext) -> None:
    result = run(read(), None, store, context)
    write_text(result.folder / "count/count", "91")
    assert "damaged" not in lines(store)[3]
    assert "damaged (count is not the file" in lines(store, verify=True)[3]


def test_an_unknown_run_is_told_with_those_that_there_are(
    read: Read, store: Store, context: RunContext
) -> None:
    run(read(), None, store, context)
    with pytest.raises(DataError, match="no run named 'toi'") as caught:
        lines(store, "toi")
    assert "toy" in caught.value.expected


def test_what_no_run_uses_is_unneeded(read: Read, store: Store, context: RunContext) -> None:
    run(read(), None, store, context)
    assert unneeded(store.root.parent) == []
    run(read("stages.repeat.times=3"), None, store, context)
    assert sorted(entry.kind for entry in unneeded(store.root.parent)) == ["count", "repeat"]
    assert "2 folders of the store serve no run" in next(store_lines(store.root.parent))


def test_what_another_recipe_uses_is_needed(read: Read, store: Store, context: RunContext) -> None:
    run(read(), None, store, context)
    run(read("recipe=other", "stages.repeat.times=3"), None, store, context)
    assert unneeded(store.root.parent) == []


def test_what_a_running_process_needs_is_kept_whatever_the_manifest_says(
    read: Read, store: Store, context: RunContext, once_within: Callable[[str, Callable[[], object]], None]
) -> None:
    seen: list[list[str]] = []

    def run_another() -> None:
        run(read("stages.repeat.times=3"), None, store, context)  # the manifest is of this one now
        seen.append([entry.name for entry in unneeded(store.root.parent)])

    once_within("count", run_another)
    run(read(), None, store, context)
    assert seen == [[]]
    assert sorted(entry.kind for entry in unneeded(store.root.parent)) == ["count", "repeat"]  # it has ended


def test_a_damaged_folder_is_unneeded(read: Read, store: Store, context: RunContext) -> None:
    result = run(read(), None, store, context)
    (result.folder / "count/count").unlink()
    run(read(), None, store, context)
    assert [entry.state for entry in unneeded(store.root.parent)] == ["damaged"]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345_678, "12.3 MB")]
)
def test_sizes_are_for_people(count: int, expected: str) -> None:
    assert size(count) == expected
