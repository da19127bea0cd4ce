"""A recipe that learns something real within seconds: digits, reversed."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtkit.cli.main import mtkit
from mtkit.cli.run import RunOptions, run_recipe
from mtkit.files import write_lines, write_text

RECIPE = """\
recipe: tiny
about: reverse a few digits
source: digits
target: reversed
seed: 1
expect: {test.bleu: at least 0, minutes: at most 10}
stages:
  corpus: {train: text/train, valid: text/valid, test: text/test}
  subword: {pieces: 15, byte_fallback: false}
  train:
    batch_tokens: 256
    max_tokens: 16
    until: {updates: 200}
    schedule: {kind: warmup_stable_decay, warmup_updates: 5}
    optimizer: {kind: adamw, learning_rate: 0.01}
    validate: {every: 40 updates, by: chrf, pairs: 30}
    keep: {average: 2}
    model: {dim: 16, ffn_dim: 32, heads: 2, encoder_layers: 1, decoder_layers: 1}
  export: {probe_lines: 10}
  translate: {beam_size: 2}
  score: {metrics: [bleu, chrf]}
"""
PAIRS = {"train": 1200, "valid": 30, "test": 30}


def write_recipe(folder: Path) -> Path:
    """The recipe and its texts."""
    draw = random.Random(1)
    lines = dict.fromkeys(" ".join(str(draw.randrange(10)) for _ in range(6)) for _ in range(5000))
    rest = iter([line for line in lines if line < line[::-1]])  # no line is another's reverse
    for split, count in PAIRS.items():
        source = [next(rest) for _ in range(count)]
        write_lines(folder / f"text/{split}.digits", source)
        write_lines(folder / f"text/{split}.reversed", [line[::-1] for line in source])
    write_text(folder / "tiny.yaml", RECIPE)
    return folder / "tiny.yaml"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe, in a folder of its own."""
    return write_recipe(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe has run to its end; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        run_recipe(write_recipe(folder), RunOptions(runs=folder / "runs", threads=1, quiet=True))
    return folder


# Has a training wait behind an update, once it has said so, until it may go on.
HELD = """
import time
from pathlib import Path
from mtkit.training import loop
update = loop.Loop._update
def held(self, *arguments):
    update(self, *arguments)
    if self.state.update == {update}:
        Path("held-{update}").touch()
        while not Path("go-{update}").exists():
            time.sleep(0.01)
loop.Loop._update = held
"""
MTKIT = "from mtkit.cli.main import main\nmain()\n"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts mtkit in a process of its own, in the test's folder or another.

    `held_at` is the update behind which its training makes `held-UPDATE` and waits for `go-UPDATE`; `before`
    is what else the process is to do first.
    """

    def begin(
        *arguments: str, folder: Path = tmp_path, held_at: int | None = None, before: str = ""
    ) -> "subprocess.Popen[str]":
        held = "" if held_at is None else HELD.format(update=held_at)
        return subprocess.Popen(
            [sys.executable, "-c", held + before + MTKIT, *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs mtkit in this process, in the test's folder, and gives what it said; quicker than `start`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(mtkit, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run
