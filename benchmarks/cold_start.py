"""What one sentence costs from a cold start: by `mtkit translate`, and by the least that uses CTranslate2.

Beside the command stand CTranslate2 and SentencePiece by hand, searching as mtkit does, and the loading of
these two libraries alone. They take turns, round after round, a process each; the first of each writes the
bytecode that an installed package brings along, and is not counted. Besides the models that are named, one of
base size that has learnt nothing is made. docs/performance.md has the figures.

    python benchmarks/cold_start.py --model runs/demo
    python benchmarks/cold_start.py --model runs/demo --model runs/other --no-base --rounds 30
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import ctranslate2

from benchmarks.figures import machine
from benchmarks.measuring import Spent, spent
from benchmarks.peers.peer import Search
from benchmarks.pieces import make_pieces
from benchmarks.searching.systems import POSITIONS, ROOT, Order, Way
from benchmarks.searching.text import TextByHand
from benchmarks.stand_ins import write_model
from mtkit import __version__
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.export.specification import save, specification
from mtkit.files import read_lines, sha256, write_json, write_lines
from mtkit.model.folder import WEIGHTS, ModelCard, read_card, subword_folder
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.search.length import length_limit
from mtkit.subword.codec import Subword
from mtkit.translation.converted import BINARY, CERTIFICATE, CONVERTED, Certificate
from mtkit.translation.find_model import model_folder

SENTENCE = "Turn off the light in the kitchen, please."
BASE = ModelSettings(
    dim=512, ffn_dim=2048, heads=8, encoder_layers=6, decoder_layers=6
)  # Vaswani et al. 2017
BASE_NAME = "base size, made"
SHORT = SearchSettings(max_length_factor=1.0, max_length_extra=8)  # what has learnt nothing does not end
LIBRARIES = "import ctranslate2, sentencepiece"
HEADS = ("model", "program", "seconds (least to most)", "CPU-seconds (least to most)", "peak memory MB",
         "times the model file")  # fmt: skip


def main() -> None:
    """Measure and print; `--json` stores the figures."""
    given = _options().parse_args()
    with tempfile.TemporaryDirectory(prefix="mtkit-bench-") as folder:
        work = (given.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        folders = {path.name: model_folder(path.resolve()) for path in given.model}
        if given.base:
            folders[BASE_NAME] = make_base(work)
        result = measure(folders, given.sentence, given.rounds, work)
    result["note"] = given.note
    print(table(result))
    if given.json:
        write_json(given.json, result)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, action="append", default=[], help="run or folder; may repeat")
    options.add_argument("--no-base", dest="base", action="store_false", help="make no model of base size")
    options.add_argument("--sentence", default=SENTENCE, help="what is translated")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--note", default="", help="a sentence to be stored with the figures")
    options.add_argument("--work", type=Path, help="folder to keep; left out: a temporary one")
    options.add_argument("--json", type=Path, metavar="FILE", help="store the figures")
    return options


@dataclass
class Row:
    """What one program took with one model; every list has a value a round.

    Attributes:
        model: its name.
        program: its name.
        file_megabytes: of the model file that is loaded; 0: none is.
        seconds: by the clock.
        cpu_seconds: of all threads.
        peak_megabytes: of resident memory.
    """

    model: str
    program: str
    file_megabytes: float
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_megabytes: list[float] = field(default_factory=list)

    def add(self, took: Spent) -> None:
        """Note a round."""
        self.seconds.append(round(took.seconds, 4))
        self.cpu_seconds.append(round(took.cpu_seconds, 4))
        self.peak_megabytes.append(round(took.peak_megabytes, 1))


def measure(folders: Mapping[str, Path], sentence: str, rounds: int, work: Path) -> dict[str, Any]:
    """All rounds of every program with every model.

    Args:
        folders: name of a model → its folder.
        sentence: what is translated.
        rounds: of everyone.
        work: where files may be written.
    """
    source = work / "sentence"
    write_lines(source, [sentence])
    programs: list[tuple[Row, list[str]]] = [(Row("–", LIBRARIES, 0.0), [sys.executable, "-c", LIBRARIES])]
    for name, folder in folders.items():
        megabytes = round((folder / CONVERTED / BINARY).stat().st_size / 2**20, 2)
        programs.append((Row(name, "mtkit translate", megabytes), own_command(folder)))
        programs.append((Row(name, "CTranslate2 by hand", megabytes), by_hand(folder, source, work)))
    environment = surroundings(work)
    for number in range(rounds + 1):
        for row, command in programs:
            took = spent(command, work, environment, None, source)
            if number:  # the first wrote bytecode and warmed the file cache
                row.add(took)
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"mtkit": __version__, "ctranslate2": ctranslate2.__version__},
        "sentence": sentence,
        "rounds": rounds,
        "rows": [asdict(row) for row, _ in programs],
    }


def own_command(folder: Path) -> list[str]:
    """The command as a user types it, the sentence on its standard input."""
    return [sys.executable, "-m", "mtkit", "translate", "--model", str(folder), "--quiet"]


def by_hand(folder: Path, source: Path, work: Path) -> list[str]:
    """benchmarks/searching/by_hand.py with one thread, which one sentence cannot use more of."""
    settings = read_card(folder).decoding
    ((*ids,),) = Subword.load(subword_folder(folder)).encode(list(read_lines(source)), "source")
    hand = TextByHand(folder, work, alike=True, longest=length_limit(len(ids), settings))
    order = Order(source, work / "by-hand", Search(settings.beam_size, None, None))
    return hand.command_by(Way(1, 1, 1, "examples"), order)


def surroundings(work: Path) -> dict[str, str]:
    """The variables of all programs: bytecode is written, whatever the environment says, into `work`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    bytecode = {"PYTHONPYCACHEPREFIX": str(work / "bytecode"), "PYTHONPATH": str(ROOT)}
    return kept | bytecode | {"CUDA_VISIBLE_DEVICES": ""}


def make_base(work: Path) -> Path:
    """A model folder of base size that has learnt nothing, converted to int8; nobody compared anything."""
    folder = work / "base"
    subword = make_pieces(work).subword
    write_model(
        folder,
        subword,
        seed=1,
        shape=BASE,
        source_language="en",
        target_language="de",
        normalize="nfkc",
        decoding=SHORT,
    )
    convert_unproved(folder, "int8")
    return folder


def convert_unproved(folder: Path, quantization: str) -> None:
    """Convert a model folder's model for CTranslate2; its certificate says that nothing was compared."""
    model = load_model(folder, "cpu")
    assert isinstance(model, Transformer)
    subword, inside = Subword.load(subword_folder(folder)), folder / CONVERTED
    names = subword.pieces(range(subword.size("source")), "source")
    save(specification(model, names, names, POSITIONS), inside, quantization)
    card = read_card(folder)
    certificate = _certificate(card, quantization, inside)
    write_json(inside / CERTIFICATE, certificate.written())


def _certificate(card: ModelCard, quantization: str, inside: Path) -> Certificate:
    return Certificate.model_validate(
        {
            "mtkit": __version__,
            "ctranslate2": ctranslate2.__version__,
            "quantization": quantization,
            "finer": [],
            "asked": quantization,
            "attempts": [],
            "most_bleu_loss": 0.0,
            "most_chrf_loss": 0.0,
            "search": card.decoding,
            "probe": {},
            "alike": 0,
            "differences": [],
            "scores": {},
            "max_tokens": POSITIONS,
            "weights": card.files[WEIGHTS],
            "files": {path.name: sha256(path) for path in sorted(inside.iterdir())},
        }
    )


def table(result: Mapping[str, Any]) -> str:
    """A result in words and as a Markdown table."""
    found, versions = result["machine"], result["versions"]
    about = (
        f"{result['date']}, {found['processor']}, {found['cores']} cores, python {found['python']},"
        f" ctranslate2 {versions['ctranslate2']}; {result['rounds']} rounds. {result['note']}"
    )
    lines = [f"| {' | '.join(HEADS)} |", "|---|---" + "|---:" * (len(HEADS) - 2) + "|"]
    for values in result["rows"]:
        row = Row(**values)
        size = f" ({row.file_megabytes:.1f} MB)" if row.file_megabytes else ""
        peak = median(row.peak_megabytes)
        times = f"{peak / row.file_megabytes:.1f}" if row.file_megabytes else "–"
        cells = (f"{row.model}{size}", row.program, _spread(row.seconds), _spread(row.cpu_seconds),
                 f"{peak:.1f}", times)  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([about.strip(), "", *lines])


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
