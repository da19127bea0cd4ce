import dataclasses

import pytest

from mtkit.model import cores
from mtkit.pipeline.together import _crowded
from mtkit.training.place import Place


@pytest.mark.parametrize(
    ("name", "processes", "said"),
    [
        ("cpu", 2, ""),
        ("cpu", 3, "3 processes share 2 cores: slower than `--processes 2`"),
        ("cuda:2", 3, ""),
    ],
)
def test_processes_that_crowd_the_cores_are_told_of_in_one_line(
    name: str, processes: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    place = dataclasses.replace(Place(), count=processes, local_count=processes)
    assert _crowded(name, place) == said
