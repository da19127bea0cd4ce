import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mtkit.training.guard import Observed
from mtkit.training.stretch import Stretch
from mtkit.training.trace import read_trace


def test_an_update_is_noted_to_the_last_bit(tmp_path: Path) -> None:
    observed = Observed(3, np.array([9, 4, 6]), torch.tensor(1 / 3), 17, torch.tensor(0.1))
    Stretch(10, 2, tmp_path / "trace").note(observed, np.array([9, 4, 6]))
    (note,) = read_trace(tmp_path / "trace")
    assert float.fromhex(note["nats"]) == float(torch.tensor(1 / 3))
    assert float.fromhex(note["gradient_norm"]) == float(torch.tensor(0.1))
    assert (note["update"], note["rows"], note["target_tokens"]) == (3, [4, 6, 9], 17)
    assert note["process"] == os.getpid()


def test_a_training_that_is_to_be_killed_waits_for_it_as_long_as_somebody_is_there_to_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = iter([7, 7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    stretch = Stretch(10, 4, tmp_path / "trace", waits_at=6)
    for update in range(4, 7):
        stretch.note(Observed(update, np.array([1]), torch.tensor(1.0), 1, torch.tensor(1.0)), np.array([1]))
    assert [note["update"] for note in read_trace(tmp_path / "trace")] == [4, 5, 6]
    assert list(parents) == []


def test_a_stretch_ends_behind_its_last_update_and_saves_in_between(tmp_path: Path) -> None:
    stretch = Stretch(10, 4, tmp_path / "trace")
    assert [update for update in range(1, 13) if stretch.is_over(update)] == [10, 11, 12]
    assert [update for update in range(1, 13) if stretch.saves(update)] == [4, 8, 12]
