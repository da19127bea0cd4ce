"""How fast the corpus stage is and how much memory it needs, on a corpus made by repetition with variations.

Makes the corpus in a temporary folder, runs build_corpus with the plain filters (length, ratio, copies,
duplicates) in a process of its own, prints pairs per second and that process's peak memory. Run it as

    python benchmarks/corpus.py                    10 million pairs
    python benchmarks/corpus.py --pairs 1000000
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = "the old house by river was sold last year to a family who wanted quiet garden and some trees"
TARGET = "das alte Haus am Fluss wurde letztes Jahr einer Familie verkauft, die einen größeren Garten suchte"
HELD_OUT = 1000
FILTERS = [
    {"length": {"min": 1, "max": 100}},
    {"length_ratio": {"max": 3.0}},
    {"copies": {}},
    {"duplicates": {}},
]


def make_corpus(folder: Path, pairs: int) -> None:
    """Write train, valid and test; about a tenth of the training pairs repeat an earlier one."""
    draw = random.Random(1)
    english, german = SOURCE.split(), TARGET.split()
    for split, count in (("train", pairs), ("valid", HELD_OUT), ("test", HELD_OUT)):
        with (
            (folder / f"{split}.en").open("w", encoding="utf-8") as source,
            (folder / f"{split}.de").open("w", encoding="utf-8") as target,
        ):
            for number in range(count):
                shown = draw.randrange(number + 1) if draw.random() < 0.1 else number
                length = 5 + shown % 12
                start = shown % 5
                source.write(f"{split} {shown} {' '.join(english[start : start + length])}.\n")
                target.write(f"{split} {shown} {' '.join(german[start : start + length])}.\n")


def measure(folder: Path) -> None:
    """Run the stage in this process and print what it took as JSON."""
    from mtkit.config.corpus import CorpusSettings
    from mtkit.corpus.build import CorpusInputs, build_corpus
    from mtkit.log import RunContext

    settings = CorpusSettings.model_validate(
        {"train": ["train"], "valid": "valid", "test": "test", "filters": FILTERS}
    )
    started, used = time.perf_counter(), time.process_time()
    build_corpus(settings, CorpusInputs("en", "de", folder), folder / "out", RunContext())
    record = json.loads((folder / "out" / "corpus.json").read_text("utf-8"))
    print(
        json.dumps(
            {
                "pairs": record["train_pairs_read"],
                "kept": record["pairs"]["train"],
                "seconds": round(time.perf_counter() - started, 1),
                "cpu_seconds": round(time.process_time() - used, 1),
                "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


def main() -> None:
    """Make the corpus, measure in a fresh process, print the figures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, default=10_000_000)
    options.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.measure:
        measure(given.measure)
        return
    with tempfile.TemporaryDirectory(prefix="mtkit-corpus-") as name:
        print(f"making {given.pairs:,} pairs in {name}", file=sys.stderr)
        make_corpus(Path(name), given.pairs)
        megabytes = sum(path.stat().st_size for path in Path(name).iterdir()) / 1e6
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name], check=True, stdout=subprocess.PIPE, env=environment
        )
    figures = json.loads(done.stdout)
    rate = figures["pairs"] / figures["cpu_seconds"]
    print(
        f"{figures['pairs']:,} pairs ({megabytes:,.0f} MB), {figures['kept']:,} kept:"
        f" {figures['seconds']} s, {figures['cpu_seconds']} CPU-seconds,"
        f" {rate:,.0f} pairs per CPU-second, peak memory {figures['peak_megabytes']} MB"
    )


if __name__ == "__main__":
    main()
