"""How fast mtkit translates, beside CTranslate2 called by hand and every toolkit that is installed.

All have a model of one shape that has learnt nothing and write the same number of tokens for every line, so
that all do the same work; they take turns, round after round. Counted is CPU time with one thread pinned to
one core, the time of translating a single line (loading) taken off, and by the clock with two threads. With
`--model`, a run or model folder that was converted, `mtkit translate` stands beside CTranslate2 and
SentencePiece by hand on text, too; with `--shortlist` once more, the model converted anew with a lexical
shortlist. docs/performance.md has the definitions and the figures.

    python benchmarks/decoding.py                            all that are installed (`make bench-peers`)
    python benchmarks/decoding.py --peers fairseq,opennmt --rounds 3
    python benchmarks/decoding.py --text-only --model runs/demo --shortlist 20
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import figures as common
from benchmarks.measuring import BenchmarkError, matrix_peak
from benchmarks.peers.all import chosen_peers
from benchmarks.peers.peer import PEERS, Search, Shape
from benchmarks.pieces import Pieces, make_pieces
from benchmarks.quality.curves import METRICS
from benchmarks.searching.figures import Row, as_json, blocks, limit
from benchmarks.searching.systems import ByHand, OfPeer, Order, Own, System, write_models
from benchmarks.searching.text import text_systems, with_shortlist
from mtkit.files import write_lines
from mtkit.scoring.metrics import score
from mtkit.subword.vocabulary import EOS
from mtkit.translation.find_model import model_folder
from mtkit.translation.translator import BATCH_TOKENS

QUANTIZATIONS = ("float32", "int8")
LONGEST = 60  # source pieces of a line: some toolkits leave out what is much longer
SLOW = {"joeynmt": 5}  # translates every so-many-th line alone: it has no cache of keys and values
NOBODY = "none"
CLOSE = 0.05  # share of the tokens asked for that may be missing or too many, besides EOS
TEXT_ABOUT = "The same lines as text, translated as the model says and not to a fixed length:"


def main() -> None:
    """Measure and print; `--json` stores the figures."""
    options = _options()
    given = options.parse_args()
    if given.model is None and (given.text_only or given.shortlist is not None):
        options.error("--text-only and --shortlist want a --model")
    with tempfile.TemporaryDirectory(prefix="mtkit-bench-") as folder:
        work = (given.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        result = measure(given, work)
    print(blocks(result))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--peers", metavar="NAMES", help="with commas between, or none; left out: all")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--lines", type=int, default=1000, help="of the test set")
    options.add_argument("--tokens", type=int, default=16, help="of each translation")
    options.add_argument("--beam-size", type=int, default=5)
    options.add_argument("--batch-sentences", type=int, default=64)
    options.add_argument("--one-thread-only", action="store_true", help="leave out the runs on two threads")
    options.add_argument("--model", type=Path, help="a run or model folder that was converted, for text")
    options.add_argument("--text-only", action="store_true", help="leave out whoever translates pieces")
    options.add_argument("--shortlist", type=int, metavar="N", help="the model with one of N pieces, too")
    options.add_argument("--note", default="", help="a sentence to be stored with the figures")
    options.add_argument("--work", type=Path, help="folder to keep; left out: a temporary one")
    options.add_argument("--json", type=Path, metavar="FILE", help="store the figures")
    return options


@dataclass(frozen=True)
class Texts:
    """What is translated: pieces of `lengths` source tokens (EOS counted), or text that has `references`."""

    lines: Sequence[str]
    work: Path
    lengths: Sequence[int]
    references: Sequence[str] = ()

    def file(self, every: int | None) -> Path:
        """A file of every so-many-th line; None: of a single one."""
        chosen = self.lines[len(self.lines) // 2 :][:1] if every is None else self.lines[::every]
        path = self.work / f"every-{every}"
        write_lines(path, chosen)
        return path


def measure(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All rounds of everyone."""
    pieces = make_pieces(work)
    numbers = chosen_lines(pieces, given.lines)
    texts = _texts(pieces.file("test", "source"), numbers, work / "lines")
    searches = {
        f"beam {given.beam_size}": Search(given.beam_size, given.tokens, given.batch_sentences),
        "greedy": Search(1, given.tokens, given.batch_sentences),
    }
    main_name, main_search = next(iter(searches.items()))
    systems = [] if given.text_only else _systems(given, work, pieces, texts)
    text = _text_systems(given, work, pieces)
    source = _texts(pieces.corpus / "test.source", numbers, work / "text")
    source = replace(source, references=_chosen(pieces.corpus / "test.target", numbers))
    runs = (
        Runs(systems, texts, searches, given),
        Runs(text, source, {main_name: replace(main_search, tokens=None)}, given),
    )
    peaks = []
    for number in range(given.rounds):
        peaks.append(round(matrix_peak(number, 1), 1))
        for one in runs:
            one.round(number)
    vocabulary = len(pieces.vocabulary) + EOS + 1
    return {
        "date": date.today().isoformat(),
        "machine": common.machine(),
        "rounds": given.rounds,
        "lines": len(numbers),
        "source_tokens": sum(texts.lengths),
        "tokens": given.tokens,
        "beam_size": given.beam_size,
        "batch_sentences": given.batch_sentences,
        "note": given.note,
        "peak_gflops": peaks,
        "limits": {
            name: limit(Shape(), vocabulary, texts.lengths, given.tokens, search.beam_size)
            for name, search in searches.items()
        },
        "searches": list(searches),
        "rows": as_json(runs[0].done()),
        "text_about": TEXT_ABOUT,
        "text_rows": as_json(runs[1].done()),
    }


def chosen_lines(pieces: Pieces, most: int) -> list[int]:
    """Numbers of the first test lines that nobody leaves out, in the order of their length.

    So whoever does not sort by length, or not all lines, loses nothing by it.
    """
    lines = pieces.file("test", "source").read_text("utf-8").split("\n")[:-1]
    lengths = [len(line.split()) for line in lines]
    fitting = [number for number, length in enumerate(lengths) if 0 < length <= LONGEST][:most]
    return sorted(fitting, key=lambda number: (lengths[number], number))


def _texts(path: Path, numbers: Sequence[int], work: Path) -> Texts:
    work.mkdir(exist_ok=True)
    chosen = _chosen(path, numbers)
    return Texts(chosen, work, [len(line.split()) + 1 for line in chosen])


def _chosen(path: Path, numbers: Sequence[int]) -> list[str]:
    lines = path.read_text("utf-8").split("\n")[:-1]
    return [lines[number] for number in numbers]


def _text_systems(given: argparse.Namespace, work: Path, pieces: Pieces) -> list[System]:
    """All that translate text; none without a model."""
    if given.model is None:
        return []
    folder = model_folder(given.model.resolve())
    short = [] if given.shortlist is None else [with_shortlist(folder, work, given.shortlist, pieces)]
    return [*text_systems(folder, work), *short]


def _systems(given: argparse.Namespace, work: Path, pieces: Pieces, texts: Texts) -> list[System]:
    """Everyone, ready to translate; a peer that cannot be made ready is told and left out."""
    models = work / "models"
    if not models.exists():
        write_models(models, pieces, QUANTIZATIONS)
    as_peers = round(given.batch_sentences * sum(texts.lengths) / len(texts.lengths))
    systems: list[System] = [Own("torch", models, as_peers)]
    systems += [Own(quantization, models, BATCH_TOKENS) for quantization in QUANTIZATIONS]
    systems += [ByHand(quantization, models) for quantization in QUANTIZATIONS]
    for peer in [] if given.peers == NOBODY else chosen_peers(given.peers):
        if not peer.python.startswith(str(PEERS)):
            continue
        try:
            system = OfPeer(peer, work / peer.name, SLOW.get(peer.name, 1))
            system.ready(pieces)
        except RuntimeError as error:
            print(f"{peer.name} is left out: {error}", file=sys.stderr)
            continue
        systems.append(system)
    return systems


class Runs:
    """Rounds of some systems over one text.

    Args:
        systems: they take turns.
        texts: what they translate.
        searches: name → how.
        given: the options.
    """

    def __init__(
        self, systems: Sequence[System], texts: Texts, searches: dict[str, Search], given: argparse.Namespace
    ) -> None:
        self._texts, self._searches, self._given = texts, searches, given
        self._rows = {system: Row(system.name, system.version, every=system.every) for system in systems}

    def round(self, number: int) -> None:
        """Everyone once; who fails is told, and has nothing in this round."""
        for system, row in self._rows.items():
            try:
                for line in self._one(system, row, number):
                    print(f"{system.name}, {line}", file=sys.stderr, flush=True)
            except BenchmarkError as error:
                print(f"{system.name}: {error}", file=sys.stderr)

    def done(self) -> list[Row]:
        """Those that were measured."""
        wanted = len(self._searches)
        return [row for row in self._rows.values() if len(row.cpu_seconds) == wanted]

    def _one(self, system: System, row: Row, number: int) -> Iterator[str]:
        """All that one system does in a round; what it took, in lines."""
        both = not (self._given.one_thread_only or isinstance(system, OfPeer))
        for threads in (1, 2) if both else (1,):
            core = number if threads == 1 else None
            orders = {name: self._order(system, search, threads) for name, search in self._searches.items()}
            if threads == 2:
                orders = dict([next(iter(orders.items()))])
            for name, order in orders.items() if number == 0 else ():
                if ways := system.settle(order):
                    row.ways[f"{name}, {threads} threads"] = ways
            single = self._texts.file(None)
            if threads == 1 and number == 0:  # its files are in memory afterwards
                system.run(replace(next(iter(orders.values())), source=single), core)
            for name, order in orders.items():
                loading = system.run(replace(order, source=single), core)
                whole = system.run(order, core)
                row.add(name, loading, whole, threads)
                row.tokens[name] = self._tokens(order)
                row.scores.update(self._scores(order))
                yield (
                    f"{name}, {threads} threads: {whole.cpu_seconds:.2f} CPU-seconds,"
                    f" {whole.seconds:.2f} s, {loading.cpu_seconds:.2f} and {loading.seconds:.2f} for a"
                    f" single line, {whole.peak_megabytes:,.0f} MB, {row.tokens[name]:.1f} pieces a line"
                )

    def _order(self, system: System, search: Search, threads: int) -> Order:
        return Order(self._texts.file(system.every), self._texts.work / "target", search, threads)

    def _scores(self, order: Order) -> dict[str, float]:
        """Of text, in sacreBLEU's metrics; of pieces that nobody has learnt, none."""
        references = self._texts.references
        if not references:
            return {}
        lines = order.target.read_text("utf-8").split("\n")[:-1]
        return {metric: round(score(lines, references, metric).value, 2) for metric in METRICS}

    def _tokens(self, order: Order) -> float:
        """Pieces of a translation in the mean.

        Raises:
            BenchmarkError: lines are missing, or they are not as long as they were to be.
        """
        lines = order.target.read_text("utf-8").split("\n")[:-1]
        wanted = len(order.source.read_text("utf-8").split("\n")[:-1])
        mean = sum(len(line.split()) for line in lines) / max(1, len(lines))
        if len(lines) != wanted:
            raise BenchmarkError(f"{len(lines):,} translations of {wanted:,} lines")
        tokens = order.search.tokens
        if tokens is not None and abs(mean - tokens) > 1 + CLOSE * tokens:  # EOS is written by nobody
            raise BenchmarkError(f"{mean:.1f} pieces a line instead of {tokens}")
        return round(mean, 2)


if __name__ == "__main__":
    main()
