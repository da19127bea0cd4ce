"""Text in, text out, with a model that has learnt to: `mtkit translate` beside CTranslate2 by hand."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

from benchmarks.pieces import Pieces
from benchmarks.searching.systems import BY_HAND, ByHand, Order, System, Way
from mtkit import __version__
from mtkit.config.export import ExportSettings
from mtkit.config.search import SearchSettings
from mtkit.export.convert import convert
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.export.shortlist import corpus_pairs
from mtkit.log import say
from mtkit.model.folder import read_card, subword_folder
from mtkit.search.hypothesis import most_ended
from mtkit.translation.converted import CONVERTED, read_certificate

LONGEST = 256  # tokens of a translation by hand
SHARED = "shared.model"


class OwnText(System):
    """`mtkit translate`, the command.

    Args:
        engine: `torch` or `ctranslate2`.
        folder: the model folder.
        work: where it runs.
    """

    def __init__(self, engine: str, folder: Path, work: Path) -> None:
        self.name = f"mtkit translate --engine {engine}"
        if engine == "ctranslate2":
            certificate = read_certificate(folder)
            self.name += f", {certificate.quantization}"
            if certificate.shortlist is not None:
                self.name += f", shortlist of {certificate.shortlist.pieces}"
        self.version, self.work = __version__, work
        self._engine, self._folder = engine, folder

    def command(self, order: Order) -> list[str]:
        """From a file to a file."""
        return [
            *(sys.executable, "-m", "mtkit", "translate", "--model", str(self._folder)),
            *("--engine", self._engine, "--threads", f"{order.threads}", "--quiet"),
            *("--beam-size", f"{order.search.beam_size}"),
            *("--input", str(order.source), "--output", str(order.target)),
        ]

    def settle(self, order: Order) -> dict[str, float]:
        """Which batches side by side are the quickest is measured by the command itself, and remembered."""
        if self._engine == "ctranslate2" and order.threads > 1:
            self.run(order, None)
        return {}


class TextByHand(ByHand):
    """CTranslate2 and SentencePiece without mtkit, by the best way that was tried.

    Args:
        folder: the model folder.
        work: where it runs.
        alike: search as mtkit does, which looks for twice a beam of translations.
        longest: most tokens of a translation.
    """

    def __init__(self, folder: Path, work: Path, *, alike: bool, longest: int = LONGEST) -> None:
        super().__init__(read_certificate(folder).quantization, work)
        self.name += ", searching as mtkit does" if alike else ""
        self._folder, self._alike, self._longest = folder, alike, longest
        self._alpha = read_card(folder).decoding.length_penalty

    def command_by(self, way: Way, order: Order) -> list[str]:
        """benchmarks/searching/by_hand.py."""
        beam_size = order.search.beam_size
        search = {"beam_size": beam_size, "length_penalty": self._alpha, "max_decoding_length": self._longest}
        if self._alike:
            alike = SearchSettings(beam_size=beam_size)
            search |= {"patience": alike.patience, "num_hypotheses": most_ended(alike)}
        given = {
            "folder": str(self._folder / CONVERTED),
            "source": str(order.source),
            "target": str(order.target),
            "subword": str(subword_folder(self._folder) / SHARED),
            "compute_type": self.quantization,
            **vars(way),
            "search": search,
        }
        return [sys.executable, str(BY_HAND), json.dumps(given)]


def text_systems(folder: Path, work: Path) -> list[System]:
    """All that translate text with a model folder that was converted."""
    own = [OwnText(engine, folder, work) for engine in ("torch", "ctranslate2")]
    return [*own, TextByHand(folder, work, alike=False), TextByHand(folder, work, alike=True)]


def with_shortlist(folder: Path, work: Path, target_pieces: int, pieces: Pieces) -> System:
    """`mtkit translate` with the same model and rounding, converted anew with a lexical shortlist.

    Args:
        folder: the model folder, converted without one.
        work: where the copy is made, and where it runs.
        target_pieces: what the list has for each source piece.
        pieces: whose training text it is learnt from; compared is on its other texts, as a run does.
    """
    copy = work / f"shortlist-{target_pieces}"
    if not (copy / CONVERTED).exists():
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CONVERTED))
        settings = ExportSettings(quantization=read_certificate(folder).asked, shortlist=target_pieces)
        lines = corpus_lines(pieces.corpus, settings.probe_lines) + nasty_lines()
        aligned = partial(corpus_pairs, pieces.corpus)
        convert(copy, copy / CONVERTED, settings, lines, say=say, aligned=aligned)
    return OwnText("ctranslate2", copy, work)
