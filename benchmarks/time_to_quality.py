"""Quality against training time: mtkit and its installed peers on the same corpus, cores and minutes.

What is compared is the wall time of the training command, its start included, on the same cores, one system
after the other. Preparing data, translating and scoring are not counted. mtkit's schedule ends with the
training, so every time is a training of its own, planned by the measured rate; peers whose schedule has no
end are trained once, and checkpoints put aside on the way are scored afterwards. BLEU and chrF by sacreBLEU
of the raw test set, beam 5. Every finished point is written to the JSON file at once: `--resume` goes on.

    python benchmarks/time_to_quality.py                             mtkit and every installed peer
    python benchmarks/time_to_quality.py --systems mtkit             mtkit alone; peers can be added later by
    python benchmarks/time_to_quality.py --resume --systems fairseq
    python benchmarks/time_to_quality.py --dry-run                   how long it would take
    python benchmarks/time_to_quality.py --resume --systems none     only print and draw what there is
    python benchmarks/time_to_quality.py --systems mtkit-anytime --minutes 2 5 10 15 20

`mtkit-anytime` draws many points from one training: the longest, and a decay from its plateau for each of the
others. NAME-narrow is a peer in the width of mtkit's recipe. `--set 20:stages.train.model.dropout=0.1` is for
the training of 20 minutes only.

Peers are installed by `make bench-peers`, matplotlib by `pip install 'mtkit[bench]'`.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.all import all_peers
from benchmarks.peers.mtkit import Mtkit
from benchmarks.peers.peer import Peer
from benchmarks.peers.plain import Plain
from benchmarks.quality.drawing import can_draw, draw
from benchmarks.quality.machine import facts, take_cores
from benchmarks.quality.points import Point, Record, open_record
from benchmarks.quality.reporting import report, title
from benchmarks.quality.systems import System, Systems
from mtkit.errors import MtkitError
from mtkit.model.cores import available_cores

HERE = Path(__file__).resolve().parent
PREPARING, SCORING, STRETCH = 1.0, 0.7, 1.2  # minutes, for the expected total only


def main() -> int:
    """Measure what is missing, then print and draw everything there is."""
    given = _options().parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # by way of `finally`, which ends what was started
    try:
        return run(given)
    except KeyboardInterrupt:
        print("stopped; finished points are kept, and --resume goes on", file=sys.stderr)
        return 130
    except MtkitError as error:
        print(f"{error.prefix}{error}", file=sys.stderr)
        return error.exit_code


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out = Path("runs/time_to_quality")
    options.add_argument("--minutes", type=float, nargs="+", default=[5, 10, 20], metavar="M")
    options.add_argument("--systems", nargs="+", metavar="NAME", help="mtkit, names of peers, or none")
    options.add_argument("--cores", type=int, default=min(2, available_cores()))
    options.add_argument("--recipe", type=Path, default=HERE / "time_to_quality.yaml", help="mtkit's")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[M:]PATH=VALUE",
        help="setting of mtkit's recipe, or of its M minutes only",
    )
    options.add_argument("--work", type=Path, default=out / "work", help="everything that is made on the way")
    options.add_argument("--json", type=Path, default=out / "curves.json")
    options.add_argument("--png", type=Path, default=out / "curves.png")
    options.add_argument("--resume", action="store_true", help="go on with the points of --json")
    options.add_argument("--dry-run", action="store_true", help="only print what would be trained")
    return options


def run(given: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        MtkitError: a wrong option, a training that failed; finished points are in the JSON file.
    """
    minutes = sorted(set(given.minutes))
    cores = take_cores(given.cores)
    systems = Systems(given.recipe, given.set, peers(), given.work, len(cores))
    names = [] if given.systems == ["none"] else given.systems or systems.installed()
    chosen = [systems.open(name) for name in names]
    about = facts(systems.versions())
    record = open_record(given.json, systems.conditions, about, resume=given.resume or given.dry_run)
    todo = {system: record.missing(system.name, system.identity, minutes) for system in chosen}
    print(expected(todo), file=sys.stderr)
    if given.dry_run:
        return 0
    if any(todo.values()):
        record.check_processor(about)
    record.about.setdefault("versions", {}).update(systems.versions())
    failures = [measure(system, missing, record) for system, missing in todo.items() if missing]
    show(record, given.png)
    return max(failures, default=0)


def measure(system: System, minutes: Sequence[float], record: Record) -> int:
    """Add a system's points to the record; 0, or the exit code of its failure, which stops no other."""
    record.about.setdefault("settings", {})[system.name] = system.settings
    try:
        for point in system.points(minutes):
            record.add(point)
            print(told(point), file=sys.stderr)
    except MtkitError as error:
        print(f"{error.prefix}{system.name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def peers() -> list[Peer]:
    """Other people's toolkits, installed or not."""
    return [peer for peer in all_peers().values() if not isinstance(peer, Mtkit | Plain)]


def expected(todo: dict[System, list[float]]) -> str:
    """What will be trained, and how long all of it should take."""
    lines, total = [], 0.0
    for system, missing in todo.items():
        training = max(missing, default=0.0) if system.peer else sum(missing)
        extra = (PREPARING if system.peer else STRETCH) + SCORING * len(missing)
        total += training + extra if missing else 0.0
        at = ", ".join(f"{asked:g}" for asked in missing)
        lines.append(f"{system.name}: {f'{training:g} minutes of training, for {at}' if at else 'is there'}")
    return "\n".join([*lines, f"expected in all: about {total:.0f} minutes"])


def told(point: Point) -> str:
    """A point in a line."""
    scores = "  ".join(f"{metric} {value:.2f}" for metric, value in point.scores.items())
    return f"{point.system} after {point.minutes:.2f} of {point.asked_minutes:g} minutes: {scores}"


def show(record: Record, png: Path) -> None:
    """Print what the points say, draw the curves."""
    if not record.points:
        return
    print("\n".join(report(record)))
    print(f"points: {record.path}", file=sys.stderr)
    if can_draw():
        draw(record.points, png, title(record))
        print(f"curves: {png}", file=sys.stderr)
    else:
        print("no picture: pip install 'mtkit[bench]' for matplotlib", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
