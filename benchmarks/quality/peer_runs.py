"""Points of other people's systems: one long training, checkpoints put aside on the way, scored afterwards.

Their schedule (warm-up, inverse square root) does not know when training ends, so the checkpoint after M
minutes is what a training of M minutes would have left, and one training serves all times. Neither preparing
data nor translating counts as training time. How each is driven is `benchmarks/peers/`.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import Pieces
from benchmarks.quality.commands import Command, Snapshot, run_with_snapshots
from benchmarks.quality.curves import METRICS
from benchmarks.quality.points import Point, now
from mtkit.errors import RunError
from mtkit.files import canonical_hash, read_json, read_lines, write_json
from mtkit.scoring.metrics import score
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import UNK

BEAM_SIZE = 5
TRAINED = "trained.json"


@dataclass(frozen=True)
class Corpus:
    """What peers learn from and are scored on.

    Attributes:
        pieces: the text in pieces.
        target: language code of the target side.
    """

    pieces: Pieces
    target: str

    def references(self) -> list[str]:
        """The target side of the test set, as text."""
        return list(read_lines(self.pieces.corpus / "test.target"))


class PeerRuns:
    """Trains a peer once and scores what it had learnt on the way.

    Args:
        name: of the system in tables.
        driver: of the peer.
        training: what it is trained with.
        corpus: makes the corpus when it is first needed.
        work: folder for everything.
    """

    peer = True

    def __init__(
        self, name: str, driver: Peer, training: Training, corpus: Callable[[], Corpus], work: Path
    ) -> None:
        self.name, self._driver, self._training, self._corpus = name, driver, training, corpus
        self.settings: dict[str, Any] = {**asdict(training), "version": driver.version()}
        self._work = work / f"{name}-{self.identity(None)}"

    def identity(self, minutes: float | None) -> str:
        """Hash of what it is trained with, which is the same for all times."""
        return canonical_hash(self.settings)[:12]

    def points(self, minutes: Sequence[float]) -> Iterator[Point]:
        """Train once, as long as the longest time, and score each time's checkpoint.

        Raises:
            RunError: the peer failed, or lost sentences.
        """
        corpus = self._corpus()
        joiner = Joiner(corpus.pieces.subword)
        references = corpus.references()
        for snapshot in self._train(sorted(minutes), corpus.pieces):
            translated = self._translate(snapshot, corpus.pieces, len(references))
            hypotheses = [joiner.join(line) for line in translated]
            found = [score(hypotheses, references, metric, language=corpus.target) for metric in METRICS]
            yield Point(
                system=self.name,
                peer=self.peer,
                asked_minutes=snapshot.asked_minutes,
                minutes=snapshot.minutes,
                updates=None,
                scores={item.metric: item.value for item in found},
                signatures={item.metric: item.signature for item in found},
                how=f"{snapshot.path.name} of one training of {max(minutes):g} minutes",
                settings=self.identity(snapshot.asked_minutes),
                date=now(),
            )

    def _train(self, minutes: list[float], pieces: Pieces) -> list[Snapshot]:
        """Train and put checkpoints aside, unless an earlier session of the benchmark did."""
        known = self._known()
        if set(minutes) <= {snapshot.asked_minutes for snapshot in known}:
            return [snapshot for snapshot in known if snapshot.asked_minutes in minutes]
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        with _told(self.name):
            self._driver.prepare(pieces, self._work)
        command = Command(
            self._driver.train_command(self._work, self._training),
            self._work / "train.log",
            self._driver.environment(self._training.threads),
            self._work,
        )
        taken = run_with_snapshots(command, minutes, lambda: self._driver.checkpoints(self._work))
        notes = [{**vars(item), "path": str(item.path.relative_to(self._work))} for item in taken]
        write_json(self._work / TRAINED, notes)
        return taken

    def _known(self) -> list[Snapshot]:
        """What an earlier session put aside, if its training came to the end."""
        noted = self._work / TRAINED
        if not noted.exists():
            return []
        return [
            Snapshot(note["asked_minutes"], note["minutes"], self._work / note["path"])
            for note in read_json(noted)
        ]

    def _translate(self, snapshot: Snapshot, pieces: Pieces, sentences: int) -> list[str]:
        """The test set, translated with a checkpoint, in pieces."""
        output = self._work / f"translated-{snapshot.asked_minutes:g}.txt"
        source = pieces.file("test", "source")
        with _told(self.name):
            self._driver.translate(self._work, snapshot.path, source, output, BEAM_SIZE)
        hypotheses = list(read_lines(output))
        if len(hypotheses) != sentences:
            raise RunError(
                f"{self.name} translated {len(hypotheses):,} of {sentences:,} sentences",
                where=str(output),
                expected="a translation for each",
                advice=f"Look into {self._work}.",
            )
        return hypotheses


class Joiner:
    """Text from pieces, by the very code that joins mtkit's.

    Args:
        subword: folder of the subword stage that cut the text.
    """

    def __init__(self, subword: Path) -> None:
        self._codec = Subword.load(subword)
        pieces = self._codec.pieces(list(range(self._codec.size("target"))), "target")
        self._ids = {piece: number for number, piece in enumerate(pieces)}

    def join(self, pieces: str) -> str:
        """The sentence of a line of pieces; what is no piece is an unknown one."""
        ids = [self._ids.get(piece, UNK) for piece in pieces.split()]
        return self._codec.decode(ids, "target")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """A driver's failure as an error that the benchmark prints."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(str(error), where=name, expected="that it does its work") from error
