"""Help is for people who wait: it loads nothing heavy and comes at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "polars", "sentencepiece", "sacrebleu", "numpy", "rich")
MOST_SECONDS = 0.5  # of processor time: what else the machine does is not counted; measured 0.2

PROBE = """
import json, resource, sys
sys.argv = ["mtkit", *sys.argv[1:]]
from mtkit.cli.main import main
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["translate", "--help"], ["score", "--help"], ["perplexity", "--help"], ["run", "--help"]],
    ids=" ".join,
)
def test_help_is_quick_and_loads_nothing_heavy(arguments: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("Usage:")
    seconds, modules = json.loads(found.stderr.splitlines()[-1])
    assert not [name for name in HEAVY if name in modules]
    assert seconds < MOST_SECONDS


def test_what_is_to_run_is_told_without_loading_what_runs_it(tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "reverse.yaml"
    arguments = ["corpus", str(recipe), "--dry-run", "--runs", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    _, modules = json.loads(found.stderr.splitlines()[-1])
    assert "to run" in found.stdout
    assert not {"torch", "polars", "sentencepiece"}.intersection(modules)
