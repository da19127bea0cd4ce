"""Runs a training program for a while and reads the meter inside it; runs others to their end; measures the
matrix-multiply peak.

What the readings mean is `figures.py`'s business.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import Pieces

METER = Path(__file__).with_name("meter")
SPENDING = Path(__file__).with_name("spending.py")
DISCARDED_UPDATES = 3  # of start-up: memory is taken, kernels are chosen
SETTLING_SECONDS = 10.0  # an update that ends later after the first counts, however few came before
MOST_START_SECONDS = 180.0
POLL_SECONDS = 0.1
PEAK_SIZE, PEAK_PRODUCTS = 1536, 12  # large enough for the peak, small enough for two seconds


@dataclass(frozen=True)
class Reading:
    """Totals at the end of an update; see meter/sitecustomize.py."""

    update: int
    wall: float
    cpu_seconds: float
    tokens: int
    positions: int


@dataclass(frozen=True)
class Observation:
    """One run of one program.

    Attributes:
        first: the reading from which the steady state counts.
        last: the reading at its end.
        start_seconds: from the command to the end of the first update.
        peak_megabytes: the largest resident memory of the program.
    """

    first: Reading
    last: Reading
    start_seconds: float
    peak_megabytes: float

    @property
    def tokens(self) -> int:
        """Real source and target tokens in between."""
        return self.last.tokens - self.first.tokens

    @property
    def tokens_per_cpu_second(self) -> float:
        """Rate by the CPU time of all the program's threads and processes."""
        return self.tokens / (self.last.cpu_seconds - self.first.cpu_seconds)

    @property
    def tokens_per_second(self) -> float:
        """Rate by the clock."""
        return self.tokens / (self.last.wall - self.first.wall)

    @property
    def padding_share(self) -> float:
        """Share of padded positions of both sides."""
        return max(0.0, 1 - self.tokens / (self.last.positions - self.first.positions))


@dataclass(frozen=True)
class Spent:
    """What a program took from its start to its end.

    Attributes:
        cpu_seconds: of all its threads and processes.
        seconds: by the clock.
        peak_megabytes: its largest resident memory.
    """

    cpu_seconds: float
    seconds: float
    peak_megabytes: float


class BenchmarkError(Exception):
    """A program under measurement failed; says what it said last."""


def observe(
    peer: Peer, pieces: Pieces, work: Path, training: Training, core: int | None, seconds: float
) -> Observation:
    """Train with a prepared toolkit until `seconds` of steady state have passed, then end it.

    Args:
        peer: the toolkit.
        pieces: what it was prepared with.
        work: where it was prepared.
        training: what to train.
        core: the only core it may use; None for all.
        seconds: of steady state.

    Raises:
        BenchmarkError: it ended by itself, or made no update in time.
    """
    meter, log = work / "meter.jsonl", work / "train.log"
    meter.unlink(missing_ok=True)
    peer.clear(work)
    environment = peer.environment(training.threads)
    environment.update(
        METER=str(meter),
        METER_SPECIALS=",".join(map(str, peer.specials)),
        METER_PIECES=str(len(pieces.vocabulary)),
        METER_WATCHES=peer.watches,
        PYTHONPATH=os.pathsep.join(filter(None, (str(METER), environment.get("PYTHONPATH", "")))),
    )
    started = time.time()
    with log.open("w", encoding="utf-8") as stream, pinned(core):
        process = subprocess.Popen(
            peer.train_command(work, training),
            cwd=work, env=environment, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    readings: list[Reading] = []
    try:
        while not _is_enough(readings, seconds):
            time.sleep(POLL_SECONDS)
            readings = read_meter(meter)
            late = not readings and time.time() - started > MOST_START_SECONDS
            if late or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                raise BenchmarkError(f"{peer.name} ended or did not begin; {log}:\n{_tail(log)}")
    finally:
        peak = _end(process)
    first = readings[discarded(readings) - 1]
    return Observation(first, readings[-1], readings[0].wall - started, peak)


def spent(
    command: Sequence[str],
    work: Path,
    environment: Mapping[str, str],
    core: int | None,
    source: Path | None = None,
) -> Spent:
    """Run a program to its end.

    Args:
        command: the program.
        work: where it runs; what it prints goes to `printed` in there, what it says to `said`.
        environment: all of its variables.
        core: the only core it may use; None for all.
        source: its standard input; None: none.

    Raises:
        BenchmarkError: it failed.
    """
    log, report = work / "said", work / "spent.json"
    with (
        (source or Path(os.devnull)).open("rb") as given,
        (work / "printed").open("wb") as printed,
        log.open("wb") as said,
        pinned(core),
    ):
        program = [sys.executable, "-I", "-S", str(SPENDING), str(report), *command]
        done = subprocess.run(
            program, cwd=work, env=environment, stdin=given, stdout=printed, stderr=said, check=False
        )
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}; {log}:\n{_tail(log)}")
    return Spent(**json.loads(report.read_text("utf-8")))


def read_meter(path: Path) -> list[Reading]:
    """The readings written so far; a last line that is not whole yet is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")[:-1]
    return [Reading(**json.loads(line)) for line in lines]


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started within the block may use one core only."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def matrix_peak(core: int | None, threads: int, precision: str = "float32") -> float:
    """GFLOP/s of a large square product by the quicker of torch's two libraries.

    Per CPU-second on one thread, per second on several.
    """
    code = f"""if True:
        import time, torch
        from mtkit.model.products import by_onednn, has_onednn
        torch.set_num_threads({threads})
        a, b = (torch.randn({PEAK_SIZE}, {PEAK_SIZE}).to(torch.{precision}) for _ in range(2))
        clock = time.process_time if {threads} == 1 else time.perf_counter
        rates = []
        for multiply in (torch.matmul, by_onednn) if has_onednn() else (torch.matmul,):
            times = []
            for _ in range({PEAK_PRODUCTS}):
                started = clock(); multiply(a, b); times.append(clock() - started)
            rates.append(2 * {PEAK_SIZE} ** 3 / sorted(times)[{PEAK_PRODUCTS} // 4] / 1e9)
        print(max(rates))
    """
    with pinned(core):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def discarded(readings: Sequence[Reading]) -> int:
    """How many updates at the start do not count: three, or fewer where they take long, but always the first.

    Args:
        readings: at least one.
    """
    latest = readings[0].wall + SETTLING_SECONDS
    return sum(reading.wall <= latest for reading in readings[:DISCARDED_UPDATES])


def _is_enough(readings: list[Reading], seconds: float) -> bool:
    if not readings:
        return False
    return readings[-1].wall - readings[discarded(readings) - 1].wall >= seconds


def _end(process: "subprocess.Popen[bytes]") -> float:
    """Kill the process and all it started; its peak memory in MB."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / 1024


def _tail(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")[-2000:]
