"""How fast training is when another process takes one core: as a share of its speed on two quiet cores.

Each contender trains in a process of its own, on the same two cores: mtkit with 2, 3 and 4 micro-batches an
update, and for comparison an update in one piece computed by two threads of torch as they come (OpenMP's
defaults, not mtkit's). In every round each trains for some seconds quietly and for as long while a busy
process sits on the first core; contenders take turns. Run it on an otherwise quiet machine, as

    python benchmarks/contention.py                   about 2 minutes
    python benchmarks/contention.py --rounds 3 --seconds 2 --recipe recipes/starter.yaml

Printed are medians over rounds with the lowest and highest, and how many of two cores each had in the quiet
stretches: where that is far from 2, the machine was not quiet. With one of two cores halved,
1.5 of 2 cores are left: 0.75 is what the best schedule could reach.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

ROOT = Path(__file__).resolve().parents[1]
PIECES = 4000
TORCH = "torch's own threads"
# contender → micro-batches of an update, settings of the environment
CONTENDERS: dict[str, tuple[int, dict[str, str]]] = {
    **{f"mtkit, {parts} micro-batches": (parts, {}) for parts in (2, 3, 4)},
    TORCH: (1, {"OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": ""}),
}


class Stretch(NamedTuple):
    """Some seconds of training.

    Attributes:
        tokens_per_second: target tokens.
        cores: that the process had, of two, on average.
        tokens_per_cpu_second: target tokens a second of processor time.
    """

    tokens_per_second: float
    cores: float
    tokens_per_cpu_second: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each stretch")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "demo.yaml")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(options.recipe, CONTENDERS[options.contender][0], options.contender == TORCH)
        return
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("this needs two cores")
    os.sched_setaffinity(0, cores)
    found: dict[str, list[tuple[Stretch, Stretch]]] = {name: [] for name in CONTENDERS}
    with busy_process(cores[0]) as busy, contenders(options.recipe) as processes:
        for process in processes.values():
            ask(process, 0.5)  # warm up
        for _ in range(options.rounds):
            for name, process in processes.items():
                quiet = ask(process, options.seconds)
                busy.send_signal(signal.SIGCONT)
                taken = ask(process, options.seconds)
                busy.send_signal(signal.SIGSTOP)
                found[name].append((quiet, taken))
    report(found)


def report(found: dict[str, list[tuple[Stretch, Stretch]]]) -> None:
    """Print a line for each contender."""
    print(f"{'':24}  {'share of quiet speed':22}  {'quiet':>20}  {'one core taken':>20}  cores had")
    for name, rounds in found.items():
        ratios = [taken.tokens_per_second / quiet.tokens_per_second for quiet, taken in rounds]
        quiet, taken = (median(pair[index].tokens_per_second for pair in rounds) for index in (0, 1))
        per_cpu = [median(pair[index].tokens_per_cpu_second for pair in rounds) for index in (0, 1)]
        cores = [median(pair[index].cores for pair in rounds) for index in (0, 1)]
        print(
            f"{name:24}  {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})   "
            f"  {quiet:7,.0f} ({per_cpu[0]:,.0f}/cpu s)  {taken:7,.0f} ({per_cpu[1]:,.0f}/cpu s)"
            f"  {cores[0]:.2f}, {cores[1]:.2f}"
        )
    print(
        "target tokens a second, in brackets a second of processor time; cores had: quietly, with one taken"
    )


@contextmanager
def busy_process(core: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that computes without end on one core; asleep until it is woken by SIGCONT."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(process.pid, [core])
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def contenders(recipe: Path) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """A waiting process for each contender."""
    processes = {}
    try:
        for name, (_, changes) in CONTENDERS.items():
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            for key in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
                environment.pop(key, None)
            environment.update({key: value for key, value in changes.items() if value})
            processes[name] = subprocess.Popen(
                [sys.executable, __file__, "--recipe", str(recipe), "--contender", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def ask(process: "subprocess.Popen[str]", seconds: float) -> Stretch:
    """Let a contender train."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return Stretch(*json.loads(process.stdout.readline()))


def contend(recipe: Path, parts: int, plain: bool) -> None:
    """Train for as many seconds as each line of stdin says, and answer with the speed.

    Args:
        recipe: whose train stage.
        parts: micro-batches of an update.
        plain: True to leave torch's threads as they come.
    """
    from mtkit.training.openmp import quiet_openmp

    if not plain:
        quiet_openmp()

    import torch

    from mtkit.batches.stream import BatchStream
    from mtkit.config.recipe import read_recipe
    from mtkit.log import RunContext
    from mtkit.model.transformer import Transformer
    from mtkit.pipeline.kinds import KINDS
    from mtkit.training.devices import prepared, side_by_side
    from mtkit.training.optimizer import Optimizer
    from mtkit.training.update import Updater

    recipe_settings = read_recipe(recipe, KINDS, [f"stages.train.accumulate={parts}"])
    settings = cast("Any", recipe_settings.stages["train"].settings)
    torch.manual_seed(1)
    with (
        prepared(RunContext(device="cpu", threads=2)),
        side_by_side(min(parts, 2), 2 if parts == 1 else 1) as workers,
    ):
        model = Transformer(settings.model, PIECES, PIECES).train()
        optimizer = Optimizer(model, settings.optimizer, workers)
        updater = Updater(model, optimizer, settings, 1, workers)
        stream = BatchStream(cast("Any", Sentences()), settings, 1)
        update = 0
        for line in sys.stdin:
            began, used, tokens = time.perf_counter(), time.process_time(), 0
            while (passed := time.perf_counter() - began) < float(line):
                update += 1
                batches = stream.next_update()
                updater.step(batches, updater.gradients(batches, update), update, 0.01)
                tokens += sum(batch.target_tokens for batch in batches)
            processor = time.process_time() - used
            print(json.dumps([tokens / passed, processor / passed, tokens / processor]), flush=True)


class Sentences:
    """Pairs of random words with the lengths of short sentences; all that a stream asks of an id store."""

    def __init__(self, pairs: int = 20_000) -> None:
        import numpy as np

        random = np.random.default_rng(1)
        self._sides = {
            side: [
                random.integers(4, PIECES, length) for length in random.gamma(2.0, 7.0, pairs).astype(int) + 2
            ]
            for side in ("source", "target")
        }
        self.source_lengths, self.target_lengths = (
            np.array([len(ids) + 1 for ids in sentences], dtype=np.int32)
            for sentences in self._sides.values()
        )
        self.rows = np.arange(pairs)

    def ids(self, pairs: Sequence[int], side: str) -> list[Any]:
        """The ids of one side of some pairs."""
        return [self._sides[side][pair] for pair in pairs]


if __name__ == "__main__":
    main()
