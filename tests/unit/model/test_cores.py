import os
from pathlib import Path

import pytest

from mtkit.model.cores import _facts, available_cores, cpu_name, cpu_vendor


def test_available_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "something else\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
    ],
    ids=str,
)
def test_a_container_has_the_cores_that_its_share_of_time_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert available_cores(tmp_path) == cores


def test_the_first_processor_says_what_it_is_and_who_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(
        "vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\n"
        "vendor_id\t: Another\nmodel name\t: Another\n",
        encoding="utf-8",
    )
    facts = _facts(tmp_path / "cpuinfo")
    monkeypatch.setattr("mtkit.model.cores._facts", lambda: facts)
    assert (cpu_name(), cpu_vendor()) == ("AMD EPYC (family 26, model 2)", "AuthenticAMD")
    nothing = _facts(tmp_path / "none")
    monkeypatch.setattr("mtkit.model.cores._facts", lambda: nothing)
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6, GenuineIntel")
    assert (cpu_name(), cpu_vendor()) == ("Intel64 Family 6, GenuineIntel", "Intel64 Family 6, GenuineIntel")
