import subprocess
import sys

import pytest

from mtkit.training.openmp import PASSIVE, quiet_openmp


def test_threads_sleep_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    monkeypatch.setattr("os.environ", environment)
    quiet_openmp()
    assert environment == {**PASSIVE, "OMP_WAIT_POLICY": "ACTIVE"}


def test_torch_is_not_loaded_for_it() -> None:
    code = "import sys, mtkit.training.openmp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
