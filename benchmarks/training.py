"""How fast mtkit trains, beside a plain torch.nn.Transformer and every other toolkit that is installed.

All train the same shape on the same corpus in the same pieces, one after the other, round after round.
Counted are real source and target tokens, one EOS a side, in steady state (the first updates are left out):
by CPU time with one thread pinned to one core, by the clock with two threads. docs/performance.md has the
definitions and the figures.

    python benchmarks/training.py                    all that are installed (`make bench-peers`)
    python benchmarks/training.py --peers mtkit,fairseq --rounds 3
    python benchmarks/training.py --device cuda      Transformer-big on a GPU
"""

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.measuring import BenchmarkError, Observation, matrix_peak, observe
from benchmarks.peers.all import chosen_peers
from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import Pieces, make_pieces
from mtkit.subword.vocabulary import EOS


def main() -> None:
    """Measure and print; `--json` stores the figures."""
    given = _options().parse_args()
    if given.device == "cuda":
        from benchmarks.gpu import measure_gpu

        result, text = measure_gpu(given.seconds)
    else:
        result = measure(given)
        text = f"{figures.summary(result)}\n\n{figures.table(result)}"
    print(text)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--peers", metavar="NAMES", help="with commas between; left out: all installed")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--seconds", type=float, default=10.0, help="of steady state in each run")
    options.add_argument("--batch-tokens", type=int, default=4096, help="target tokens an update")
    options.add_argument("--one-thread-only", action="store_true", help="leave out the runs on two threads")
    options.add_argument("--note", default="", help="a sentence to be stored with the figures")
    options.add_argument("--work", type=Path, help="folder to keep; left out: a temporary one")
    options.add_argument("--json", type=Path, metavar="FILE", help="store the figures")
    return options


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All rounds of all toolkits on the CPU."""
    with tempfile.TemporaryDirectory(prefix="mtkit-bench-") as folder:
        work = (given.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        pieces = make_pieces(work)
        peers = [peer for peer in chosen_peers(given.peers) if _prepared(peer, pieces, work / peer.name)]
        threads = (1,) if given.one_thread_only else (1, 2)
        peaks: dict[str, list[float]] = {f"{count} thread{'s' * (count > 1)}": [] for count in threads}
        seen: dict[tuple[str, int], list[Observation]] = {}
        for number in range(given.rounds):
            for count, found in zip(threads, peaks.values(), strict=True):
                found.append(round(matrix_peak(number if count == 1 else None, count), 1))
            for peer in peers:
                for count in threads:
                    training = Training(given.batch_tokens, count, seed=number + 1)
                    one = _observed(peer, pieces, work, training, given.seconds)
                    seen.setdefault((peer.name, count), []).extend(one)
        vocabulary = len(pieces.vocabulary) + EOS + 1
        return {
            "date": date.today().isoformat(),
            "machine": figures.machine(),
            "rounds": given.rounds,
            "seconds": given.seconds,
            "batch_tokens": given.batch_tokens,
            "note": given.note,
            "flops_per_token": figures.flops_per_token(Training().shape, vocabulary, pieces.lengths()),
            "peak_gflops": peaks,
            "rows": figures.as_json(
                [
                    figures.row(peer.name, peer.version(), seen[peer.name, 1], seen.get((peer.name, 2), []))
                    for peer in peers
                    if seen.get((peer.name, 1))
                ]
            ),
        }


def _prepared(peer: Peer, pieces: Pieces, work: Path) -> bool:
    """Prepare a toolkit, unless an earlier call did; False, with its reason, if it cannot be."""
    if (work / "prepared").exists():
        return True
    work.mkdir(exist_ok=True)
    try:
        peer.prepare(pieces, work)
    except RuntimeError as error:
        print(f"{peer.name} is left out: {error}", file=sys.stderr)
        return False
    (work / "prepared").touch()
    return True


def _observed(
    peer: Peer, pieces: Pieces, work: Path, training: Training, seconds: float
) -> list[Observation]:
    """One run, told in a line; a failed one counts for nothing, and is told too."""
    core = training.seed - 1 if training.threads == 1 else None
    try:
        found = observe(peer, pieces, work / peer.name, training, core, seconds)
    except BenchmarkError as error:
        print(f"{peer.name}: {error}", file=sys.stderr)
        return []
    print(
        f"{peer.name}, {training.threads} threads: {found.tokens_per_cpu_second:,.0f} tokens per CPU-second,"
        f" {found.tokens_per_second:,.0f} a second, padding {found.padding_share:.1%},"
        f" {found.peak_megabytes:,.0f} MB, first update after {found.start_seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return [found]


if __name__ == "__main__":
    main()
