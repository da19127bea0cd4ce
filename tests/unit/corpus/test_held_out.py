from pathlib import Path

import pytest

from mtkit.corpus.chunk import Chunk
from mtkit.corpus.held_out import FOLDINGS, HeldOut


@pytest.mark.parametrize(
    ("strictness", "expected"),
    [
        ("strict", [False, False, False, True, True]),
        ("exact", [False, True, True, True, True]),
        ("off", [True] * 5),
    ],
)
def test_either_side_of_a_held_out_pair_removes(
    tmp_path: Path, strictness: str, expected: list[bool]
) -> None:
    held = HeldOut(FOLDINGS[strictness], tmp_path)
    held.add(Chunk(["Good day!"], ["Guten Tag!"]))
    train = Chunk(
        ["Good day!", "good day", "Hello", "Guten Tag!", "day good"],
        ["x", "y", "guten tag", "z", "Tag guten"],
    )
    assert held.keep(train).tolist() == expected
