import subprocess
import sys
from pathlib import Path

import pytest

from mtkit.errors import RunError
from mtkit.training.alone import alone

HOLD = """
import sys
from pathlib import Path
from mtkit.training.alone import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_in_a_folder_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another training") as caught, alone(tmp_path):
            pass
        assert str(tmp_path) in str(caught.value)
        other.kill()
    with alone(tmp_path):
        pass


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="training failed"), alone(tmp_path / "new"):
        raise ValueError("training failed")
    assert list((tmp_path / "new").iterdir()) == []
