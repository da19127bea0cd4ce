"""What a benchmark asks of a toolkit: read pieces, train the same shape, translate. A module each is here."""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pieces import Pieces

PEERS = Path(__file__).resolve().parents[2] / ".peers"
CHECKPOINTS = "checkpoints"  # the folder inside a work folder
SEARCHED_TOKENS = 2000  # source tokens of a batch of search, unless it is counted in sentences


@dataclass(frozen=True)
class Shape:
    """The model that everyone trains: post-norm, ReLU, sinusoidal positions, all embeddings tied."""

    layers: int = 3
    dim: int = 256
    ffn_dim: int = 1024
    heads: int = 4
    dropout: float = 0.1
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class Training:
    """How it is trained.

    Attributes:
        batch_tokens: target tokens an update, as near as a toolkit can be told.
        threads: CPU threads.
        learning_rate: of Adam, at the peak of an inverse square root schedule.
        warmup_updates: until the peak.
        updates: the last one; a benchmark may end the process before.
        save_updates: a checkpoint after every so many updates; None: none before the end.
        seed: of everything random.
        shape: of the model.
    """

    batch_tokens: int = 4096
    threads: int = 1
    learning_rate: float = 1e-3
    warmup_updates: int = 800
    updates: int = 100_000
    save_updates: int | None = None
    seed: int = 1
    shape: Shape = Shape()


@dataclass(frozen=True)
class Search:
    """How it translates.

    Attributes:
        beam_size: 1 is greedy search.
        tokens: every translation has just so many target tokens, as nearly as a toolkit can be told; None: as
            many as the model says.
        sentences: of a batch; None: what `SEARCHED_TOKENS` are, where a toolkit counts them.
    """

    beam_size: int
    tokens: int | None = None
    sentences: int | None = None


def batch_of_search(search: Search) -> tuple[str, str]:
    """Size and unit of a batch, as OpenNMT-py and eole are told them."""
    if search.sentences is None:
        return f"{SEARCHED_TOKENS}", "tokens"
    return f"{search.sentences}", "sents"


class Peer(ABC):
    """A toolkit in an environment of its own, `.peers/NAME`.

    Attributes:
        name: of the toolkit and of its folder.
        specials: ids of padding, BOS and EOS in its vocabulary.
        watches: what the meter looks at, `torch` or `mtkit`.
        through_streams: it translates its standard input; what it prints is read by `translations`.
    """

    name: str
    specials: tuple[int, int, int]
    watches = "torch"
    through_streams = False

    @property
    def folder(self) -> Path:
        """The toolkit's virtual environment."""
        return PEERS / self.name

    @property
    def python(self) -> str:
        """Its Python."""
        return str(self.folder / "bin" / "python")

    def program(self, name: str) -> str:
        """A command that the toolkit brings."""
        return str(self.folder / "bin" / name)

    def is_installed(self) -> bool:
        """True if `make bench-peers` made its environment to the end."""
        return (self.folder / "installed").exists()

    @abstractmethod
    def version(self) -> str:
        """The toolkit's version."""

    @abstractmethod
    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Write what the toolkit reads into `work`; nothing of this is timed."""

    @abstractmethod
    def train_command(self, work: Path, training: Training) -> list[str]:
        """The command that trains on what `prepare` wrote; checkpoints go to `work`, which it may run in."""

    def clear(self, work: Path) -> None:
        """Forget what an earlier training left."""
        shutil.rmtree(work / CHECKPOINTS, ignore_errors=True)

    @abstractmethod
    def checkpoints(self, work: Path) -> list[Path]:
        """The checkpoints written so far, oldest first; each is complete."""

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """The command that translates a file of pieces into a file of pieces, line by line."""
        raise NotImplementedError(f"{self.name} has no such command")

    def make_endless(self, work: Path) -> None:  # noqa: B027
        """Where the toolkit knows no least length, see to it that an untrained model ends nothing."""

    def translations(self, printed: str) -> list[str]:
        """The translations, in order, of what a search printed that goes through streams."""
        return printed.splitlines()

    def translate(self, work: Path, checkpoint: Path, source: Path, target: Path, beam_size: int) -> None:
        """Translate a file of pieces into a file of pieces, line by line."""
        command = self.search_command(work, checkpoint, source, target, Search(beam_size))
        if not self.through_streams:
            self.run(command, work)
            return
        with source.open(encoding="utf-8") as stream:
            done = self.run(command, work, stdin=stream)
        target.write_text("".join(f"{line}\n" for line in self.translations(done.stdout)), "utf-8")

    def installed_version(self, package: str) -> str:
        """The version of a package in the toolkit's environment."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return self.run([self.python, "-c", code], self.folder).stdout.strip()

    def environment(self, threads: int) -> dict[str, str]:
        """Variables of the toolkit's processes, for so many threads."""
        count = str(threads)
        return {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def run(self, command: list[str], work: Path, **streams: object) -> "subprocess.CompletedProcess[str]":
        """Run a command of the toolkit to its end, on one thread, quietly; a failure shows what it said."""
        done = subprocess.run(
            command,
            cwd=work,
            env=self.environment(1),
            text=True,
            encoding="utf-8",
            capture_output=True,
            **streams,
        )  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(
                f"{self.name}: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done  # type: ignore[no-any-return]
