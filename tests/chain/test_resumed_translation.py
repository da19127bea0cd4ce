"""Translating a text is killed in the middle and resumed: the file is the one that was never interrupted."""

import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from mtkit.files import write_lines
from mtkit.translation.resuming import note_of

Start = Callable[..., "subprocess.Popen[str]"]
Here = Callable[..., str]
LINES = 1200


def odd_text(path: Path) -> None:
    draw = random.Random(5)
    lines = [" ".join(draw.choices("0123456789", k=draw.randint(1, 30))) for _ in range(LINES)]
    for place in range(0, LINES, 100):
        lines[place] = ["", "\u2028", "1 2\r", "x\x00y", "\U0001f600" * 5][place // 100 % 5]
    write_lines(path, lines)


# Kills the process as the system would, when it translates and has written some lines.
KILLED = """
import os, signal
from pathlib import Path
from mtkit.translation import resuming
write = resuming.Unfinished.write
def killed(self, lines):
    if Path("out").stat().st_size > 2000:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, lines)
resuming.Unfinished.write = killed
"""


def test_a_translation_that_was_killed_is_resumed_to_the_same_bytes(
    finished: Path, tmp_path: Path, start: Start, here: Here
) -> None:
    odd_text(tmp_path / "text")
    model = str(finished / "runs/tiny")
    asked = ("translate", "--model", model, "--input", str(tmp_path / "text"), "--scores", "--threads", "1")
    out, whole = tmp_path / "out", tmp_path / "whole"
    here(*asked, "--output", str(whole))
    assert whole.read_bytes().count(b"\n") == LINES
    assert not note_of(whole).exists()

    killing = start(*asked, "--output", str(out), before=KILLED)
    killing.communicate()
    assert killing.returncode == -signal.SIGKILL
    killed = out.read_bytes()
    assert 0 < killed.count(b"\n") < LINES
    assert note_of(out).exists()
    out.write_bytes(killed[:-3])  # as if the last line had not reached the disk as a whole

    said = here(*asked, "--resume", str(out))
    assert f"{killed.count(bytes([10])) - 1:,} of them were there already" in said
    assert out.read_bytes() == whole.read_bytes()
    assert not note_of(out).exists()
    assert "1,200 of them were there already" in here(*asked, "--resume", str(out))
    assert out.read_bytes() == whole.read_bytes()
