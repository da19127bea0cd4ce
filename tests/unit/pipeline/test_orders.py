from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtkit.batches.stream import Share
from mtkit.config.training import TrainSettings, Until
from mtkit.errors import RunError
from mtkit.files import write_text
from mtkit.log import RunContext
from mtkit.pipeline import orders
from mtkit.pipeline.store import SESSIONS
from mtkit.training.processes import Group


class Notes:
    """A meeting of which only the orders are used."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def order(self, order: Any) -> None:
        self.left.append(order)

    def next_order(self) -> Any:
        return self.left.pop(0)


@pytest.fixture
def both() -> Iterator[tuple[RunContext, RunContext]]:
    """Rank 0 and the one that follows."""
    notes, contexts = Notes(), []
    for rank in (0, 1):
        group = Group.__new__(Group)
        group.share, group.meeting = Share(rank, 2), notes  # type: ignore[assignment]
        contexts.append(RunContext(seed=5, processes=group))
    yield contexts[0], contexts[1]


def settings() -> TrainSettings:
    return TrainSettings(until=Until(updates=9000), batch_tokens=512)


def test_an_order_arrives_as_it_was_given(both: tuple[RunContext, RunContext], tmp_path: Path) -> None:
    first, second = both
    write_text(tmp_path / SESSIONS, "[1]")
    orders.announce(settings(), {"corpus": tmp_path / "c"}, tmp_path, first)
    orders.dismiss(first)
    (order,) = orders.orders(second)
    assert order.settings == settings()
    assert order.settings.model_fields_set == settings().model_fields_set
    assert (order.reads, order.folder, order.seed) == ({"corpus": tmp_path / "c"}, tmp_path, 5)


def test_who_follows_or_is_alone_announces_nothing(
    both: tuple[RunContext, RunContext], tmp_path: Path
) -> None:
    _, second = both
    orders.announce(settings(), {}, tmp_path, second)
    orders.announce(settings(), {}, tmp_path, RunContext())
    orders.dismiss(RunContext())
    assert second.processes.meeting.left == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("seen", [None, "[2]"])
def test_another_folder_than_rank_0_writes_to_is_told(
    both: tuple[RunContext, RunContext], tmp_path: Path, seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "FOLDER_SECONDS", 0.2)
    first, second = both
    write_text(tmp_path / SESSIONS, "[1]")
    orders.announce(settings(), {}, tmp_path, first)
    (tmp_path / SESSIONS).unlink()
    if seen:
        write_text(tmp_path / SESSIONS, seen)
    with pytest.raises(RunError, match="as seen by rank 1") as caught:
        next(orders.orders(second))
    assert caught.value.where == str(tmp_path)
    assert "--runs" in caught.value.advice
