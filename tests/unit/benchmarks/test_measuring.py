import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import METER, Reading, discarded, pinned, read_meter

PROGRAM = """
import torch
embedding = torch.nn.Embedding(100, 4)
other = torch.nn.Embedding(9, 4)
optimizer = torch.optim.SGD(embedding.parameters(), 0.1)
source = torch.tensor([[7, 8, 3, 0], [7, 7, 7, 3]])      # one EOS a row, one padded position
bare = torch.tensor([[7, 8, 8, 0]])                      # no EOS: it is counted all the same
target_in = torch.tensor([[2, 5, 5], [2, 5, 0]])         # BOS first, no EOS
for _ in range(2):
    sides = [embedding(ids).sum() for ids in (source, bare, target_in)]
    (sum(sides) + other(source).sum()).backward()
    optimizer.step()
with torch.no_grad():
    embedding(source)
optimizer.step()
"""


def test_the_meter_counts_tokens_of_training_with_one_eos_a_side(tmp_path: Path) -> None:
    path = tmp_path / "meter.jsonl"
    environment = {**os.environ, "METER": str(path), "METER_SPECIALS": "0,2,3", "METER_PIECES": "100"}
    environment.update(METER_WATCHES="torch", PYTHONPATH=str(METER))
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=environment)
    readings = read_meter(path)
    # words 2 + 3, 3 and 2 + 1, an EOS for each of the five sentences
    assert [(one.update, one.tokens, one.positions) for one in readings] == [
        (1, 16, 19),
        (2, 32, 38),
        (3, 32, 38),
    ]
    assert readings[0].cpu_seconds > 0


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    reading = Reading(update=1, wall=2.0, cpu_seconds=3.0, tokens=4, positions=5)
    path = tmp_path / "meter.jsonl"
    assert read_meter(path) == []
    path.write_text(json.dumps(vars(reading)) + '\n{"update": 2, "wa', "utf-8")
    assert read_meter(path) == [reading]


@pytest.mark.parametrize(
    ("walls", "left_out"),
    [
        ([5.0], 1),
        ([5.0, 7.0, 9.0, 11.0], 3),
        ([5.0, 14.0, 23.0], 2),
        ([5.0, 45.0, 85.0], 1),  # JoeyNMT on one thread
    ],
)
def test_slow_updates_count_from_the_second(walls: list[float], left_out: int) -> None:
    readings = [Reading(number, wall, wall, 0, 0) for number, wall in enumerate(walls, 1)]
    assert discarded(readings) == left_out


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no processes")
def test_a_pinned_block_has_one_core_and_gives_the_others_back() -> None:
    before = os.sched_getaffinity(0)
    with pinned(len(before)):  # counted round
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
