"""Who translates in benchmarks/decoding.py, and by which command: mtkit's engines, CTranslate2, the peers.

All have a model of one shape that has learnt nothing, and are told to write as many tokens for every line.
"""

import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2

import mtkit
from benchmarks.measuring import Spent, spent
from benchmarks.peers.peer import Peer, Search, Shape, Training
from benchmarks.pieces import Pieces
from benchmarks.stand_ins import write_model
from mtkit.config.model import ModelSettings
from mtkit.export.specification import save, specification
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.subword.codec import Subword

ROOT = Path(mtkit.__file__).resolve().parents[1]
BY_HAND = Path(__file__).with_name("by_hand.py")
POSITIONS = 512  # of the converted model's table
SETTLED_UPDATES = 2  # that a peer is trained for, at a rate that changes next to nothing
NEXT_TO_NO_RATE = 1e-4  # not smaller: YAML of some toolkits takes 1e-09 for a word


@dataclass(frozen=True)
class Order:
    """What is to be translated.

    Attributes:
        source: a file of pieces, or of text.
        target: the file to be.
        search: how.
        threads: CPU threads.
    """

    source: Path
    target: Path
    search: Search
    threads: int = 1


@dataclass(frozen=True)
class Way:
    """How CTranslate2 is called by hand: replicas, threads of each, and batches."""

    inter_threads: int
    intra_threads: int
    batch: int
    batch_type: str

    def __str__(self) -> str:
        threads = f"{self.inter_threads} x {self.intra_threads} threads"
        return f"{threads}, batches of {self.batch:,} {self.batch_type}"


class System(ABC):
    """Something that translates files.

    Attributes:
        name: of it, in tables.
        version: of it.
        work: where its commands run.
        every: it translates every so-many-th line alone, because it is slow.
    """

    name: str
    version: str
    work: Path
    every = 1

    @abstractmethod
    def command(self, order: Order) -> list[str]:
        """What translates."""

    def environment(self, threads: int) -> Mapping[str, str]:
        """Variables of the command."""
        count = str(threads)
        limits = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "CUDA_VISIBLE_DEVICES": ""}
        return {**os.environ, **limits, "PYTHONPATH": str(ROOT)}

    def settle(self, order: Order) -> dict[str, float]:
        """Find out once how to translate the soonest; what was tried, in seconds. Most try nothing."""
        return {}

    def run(self, order: Order, core: int | None) -> Spent:
        """Translate, pinned to a core if one is named; the target is there afterwards.

        Raises:
            BenchmarkError: it failed.
        """
        return spent(self.command(order), self.work, self.environment(order.threads), core)


class Own(System):
    """One of mtkit's engines, on pieces.

    Args:
        engine: `torch`, or what the converted model is rounded to.
        folder: of the models, as `write_models` left it.
        batch_tokens: source tokens of a batch.
    """

    def __init__(self, engine: str, folder: Path, batch_tokens: int) -> None:
        self.name = "mtkit, torch" if engine == "torch" else f"mtkit, CTranslate2 {engine}"
        self.version = mtkit.__version__
        self.work, self._engine, self._batch_tokens = folder, engine, batch_tokens

    def command(self, order: Order) -> list[str]:
        """benchmarks/searching/own_search.py."""
        assert order.search.tokens is not None
        numbers = (order.search.beam_size, order.search.tokens, self._batch_tokens, order.threads)
        paths = (str(self.work), str(order.source), str(order.target))
        program = [sys.executable, "-m", "benchmarks.searching.own_search"]
        return [*program, self._engine, *paths, *map(str, numbers)]


class ByHand(System):
    """CTranslate2 without mtkit, by the best way that was tried.

    Args:
        quantization: of the converted model.
        folder: of the models.
    """

    def __init__(self, quantization: str, folder: Path) -> None:
        self.name = f"CTranslate2 {quantization}, by hand"
        self.version = ctranslate2.__version__
        self.work, self.quantization = folder, quantization
        self.best: dict[tuple[int, int], Way] = {}

    def command(self, order: Order) -> list[str]:
        """By the best way for these threads and this beam."""
        return self.command_by(self.best[order.threads, order.search.beam_size], order)

    def command_by(self, way: Way, order: Order) -> list[str]:
        """benchmarks/searching/by_hand.py."""
        tokens = order.search.tokens
        given: dict[str, Any] = {
            "folder": str(self.work / self.quantization),
            "source": str(order.source),
            "target": str(order.target),
            "subword": None,
            "compute_type": self.quantization,
            **vars(way),
            "search": {
                "beam_size": order.search.beam_size,
                "min_decoding_length": tokens,
                "max_decoding_length": tokens,
            },
        }
        return [sys.executable, str(BY_HAND), json.dumps(given)]

    def settle(self, order: Order) -> dict[str, float]:
        """Try every way and take the best: the least CPU time on one thread, else the least time.

        Returns:
            Seconds of each.
        """
        took: dict[Way, float] = {}
        for way in ways(order.threads, order.search.sentences):
            core = 0 if order.threads == 1 else None
            found = spent(self.command_by(way, order), self.work, self.environment(1), core)
            took[way] = found.cpu_seconds if order.threads == 1 else found.seconds
        self.best[order.threads, order.search.beam_size] = min(took, key=lambda way: took[way])
        return {str(way): round(seconds, 2) for way, seconds in took.items()}


def ways(threads: int, sentences: int | None) -> list[Way]:
    """All that a careful user would try: every split of the threads, batches by sentences and by tokens."""
    splits = [(inter, threads // inter) for inter in range(1, threads + 1) if threads % inter == 0]
    batches = [(sentences or 64, "examples"), (512, "tokens"), (1024, "tokens"), (2048, "tokens")]
    return [Way(*split, *batch) for split in splits for batch in batches]


class OfPeer(System):
    """Another toolkit.

    Args:
        peer: it.
        work: where it is prepared and trained.
        every: see `System`.
    """

    def __init__(self, peer: Peer, work: Path, every: int = 1) -> None:
        self.name, self.version, self.work, self.every = peer.name, peer.version(), work, every
        self._peer = peer

    def ready(self, pieces: Pieces) -> None:
        """Prepare it and have it write a model of the shape, unless an earlier call did.

        Raises:
            RuntimeError: it failed.
        """
        done = self.work / "ready"
        if done.exists():
            return
        shutil.rmtree(self.work, ignore_errors=True)  # what an earlier call left half done
        self.work.mkdir(parents=True)
        self._peer.prepare(pieces, self.work)
        training = Training(
            batch_tokens=1024,
            learning_rate=NEXT_TO_NO_RATE,
            updates=SETTLED_UPDATES,
            save_updates=SETTLED_UPDATES,
        )
        self._peer.run(self._peer.train_command(self.work, training), self.work)
        self._peer.make_endless(self.work)
        done.touch()

    def command(self, order: Order) -> list[str]:
        """The peer's own."""
        checkpoint = self._peer.checkpoints(self.work)[-1]
        return self._peer.search_command(self.work, checkpoint, order.source, order.target, order.search)

    def environment(self, threads: int) -> Mapping[str, str]:
        """As the peer wants them."""
        return self._peer.environment(threads)

    def run(self, order: Order, core: int | None) -> Spent:
        """As any, through streams where it knows nothing else."""
        streams = self._peer.through_streams
        found = spent(
            self.command(order),
            self.work,
            self.environment(order.threads),
            core,
            order.source if streams else None,
        )
        if streams:
            lines = self._peer.translations((self.work / "printed").read_text("utf-8"))
            order.target.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return found


def model_settings(shape: Shape) -> ModelSettings:
    """The shape in mtkit's words."""
    return ModelSettings(
        dim=shape.dim,
        ffn_dim=shape.ffn_dim,
        heads=shape.heads,
        encoder_layers=shape.layers,
        decoder_layers=shape.layers,
        norm_order="post",
    )


def write_models(folder: Path, pieces: Pieces, quantizations: Sequence[str]) -> None:
    """A model of the shape that has learnt nothing, and beside it what CTranslate2 reads, a folder each."""
    write_model(
        folder,
        pieces.subword,
        seed=1,
        shape=model_settings(Shape()),
        source_language="en",
        target_language="de",
        normalize="nfkc",
    )
    model = load_model(folder, "cpu")
    assert isinstance(model, Transformer)
    subword = Subword.load(pieces.subword)
    names = subword.pieces(range(subword.size("source")), "source")
    for quantization in quantizations:
        save(specification(model, names, names, POSITIONS), folder / quantization, quantization)
