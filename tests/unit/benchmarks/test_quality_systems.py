import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import Pieces
from benchmarks.quality.points import Point, Record, read_record
from benchmarks.quality.systems import Systems
from benchmarks.time_to_quality import HERE, expected, measure, run
from mtkit.errors import RunError

RECIPE = HERE / "time_to_quality.yaml"


class Parrot(Peer):
    """A peer that is there and is never run."""

    name = "parrot"
    specials = (0, 2, 3)

    def is_installed(self) -> bool:
        return True

    def version(self) -> str:
        return "1.2"

    def prepare(self, pieces: Pieces, work: Path) -> None:
        raise NotImplementedError

    def train_command(self, work: Path, training: Training) -> list[str]:
        raise NotImplementedError

    def checkpoints(self, work: Path) -> list[Path]:
        raise NotImplementedError

    def translate(self, work: Path, checkpoint: Path, source: Path, target: Path, beam_size: int) -> None:
        raise NotImplementedError


class Absent(Parrot):
    """A peer that could be there."""

    name = "absent"

    def is_installed(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def cores_stay() -> Iterator[None]:
    """What a benchmark takes from its own process is given back to the other tests."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    yield
    if before:
        os.sched_setaffinity(0, before)


def opened(work: Path, *overrides: str) -> Systems:
    return Systems(RECIPE, overrides, [Parrot(), Absent()], work, cores=2)


def test_mtkit_and_every_installed_peer_are_compared(tmp_path: Path) -> None:
    systems = opened(tmp_path)
    assert systems.installed() == ["mtkit", "parrot"]
    assert systems.versions() == {"parrot": "1.2"}
    assert [systems.open(name).peer for name in systems.installed()] == [False, True]


def test_a_system_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="'absent'") as caught:
        opened(tmp_path).open("absent")
    assert "mtkit, parrot" in caught.value.expected


def test_everybody_gets_all_the_cores_and_a_narrow_variant_our_width(tmp_path: Path) -> None:
    systems = opened(tmp_path, "stages.train.model.dim=64", "stages.train.model.ffn_dim=128")
    wide, narrow = systems.open("parrot").settings, systems.open("parrot-narrow").settings
    assert (wide["threads"], wide["shape"]["dim"]) == (2, 256)
    assert (narrow["shape"]["dim"], narrow["shape"]["ffn_dim"]) == (64, 128)


def test_other_settings_are_another_identity(tmp_path: Path) -> None:
    plain, same = opened(tmp_path).open("mtkit"), opened(tmp_path).open("mtkit")
    other = opened(tmp_path, "stages.train.model.dropout=0.2").open("mtkit")
    assert plain.identity(5.0) == same.identity(5.0) == plain.identity(20.0)
    assert plain.identity(5.0) != other.identity(5.0)


def test_settings_for_one_length_change_only_its_identity(tmp_path: Path) -> None:
    plain = opened(tmp_path).open("mtkit")
    longer = opened(tmp_path, "20:stages.train.model.dropout=0.2").open("mtkit")
    assert plain.identity(5.0) == longer.identity(5.0)
    assert plain.identity(20.0) != longer.identity(20.0)
    assert longer.settings["at_lengths"] == ["20:stages.train.model.dropout=0.2"]


def test_a_corpus_that_peers_do_not_get_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not those that peers are given"):
        opened(tmp_path, "stages.corpus.limit=100")


def test_the_expected_total_counts_a_peer_once_and_every_training_of_ours(tmp_path: Path) -> None:
    systems = opened(tmp_path)
    todo = {systems.open(name): [5.0, 10.0, 20.0] for name in systems.installed()}
    lines = expected(todo).splitlines()
    assert lines[0].startswith("mtkit: 35 minutes of training")
    assert lines[1].startswith("parrot: 20 minutes of training")
    assert 55 < float(lines[-1].split()[-2]) < 65


def test_a_system_that_fails_keeps_its_points_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        name, peer = "failing", True
        settings: ClassVar[dict[str, object]] = {"layers": 3}

        def identity(self, minutes: float) -> str:
            return "a"

        def points(self, minutes: Sequence[float]) -> Iterator[Point]:
            yield Point("failing", True, 5.0, 5.1, None, {"bleu": 1.0, "chrf": 2.0}, {}, "", "a", "")
            raise RunError("the disk broke")

    record = Record(tmp_path / "curves.json", {}, {})
    assert measure(Failing(), [5.0, 10.0], record) == 1
    assert [point.minutes for point in read_record(record.path).points] == [5.1]
    assert "failing: the disk broke" in capsys.readouterr().err


def test_a_dry_run_prints_the_expected_total_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Namespace(
        minutes=[5.0], systems=["mtkit"], cores=1, recipe=RECIPE, set=[], work=tmp_path / "work",
        json=tmp_path / "curves.json", png=tmp_path / "curves.png", resume=False, dry_run=True,
    )  # fmt: skip
    assert run(given) == 0
    assert "expected in all: about" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
