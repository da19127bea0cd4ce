"""Help is for people who wait: it loads nothing heavy, and little at all, so that it comes at once.

What is counted is what is loaded, which is the same on every machine; 0.2 s of processor time was measured.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "polars", "sentencepiece", "sacrebleu", "numpy", "rich")
MOST_MODULES = 400  # counted: 137 to 259

PROBE = """
import json, sys
sys.argv = ["mtkit", *sys.argv[1:]]
from mtkit.cli.main import main
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["translate", "--help"], ["score", "--help"], ["perplexity", "--help"], ["run", "--help"]],
    ids=" ".join,
)
def test_help_loads_little_and_nothing_heavy(arguments: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("Usage:")
    modules = json.loads(found.stderr.splitlines()[-1])
    assert not [name for name in HEAVY if name in modules]
    assert len(modules) < MOST_MODULES


def test_what_is_to_run_is_told_without_loading_what_runs_it(tmp_path: Path) -> None:
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "reverse.yaml"
    arguments = ["corpus", str(recipe), "--dry-run", "--runs", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    modules = json.loads(found.stderr.splitlines()[-1])
    assert "to run" in found.stdout
    assert not {"torch", "polars", "sentencepiece"}.intersection(modules)
