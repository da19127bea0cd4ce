"""Which systems can be compared, and how each is opened by its name."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peers.peer import Peer, Shape, Training
from benchmarks.pieces import RECIPE, make_pieces
from benchmarks.quality.anytime import AnytimeRuns
from benchmarks.quality.own_runs import OwnRuns, overrides_at
from benchmarks.quality.peer_runs import BEAM_SIZE, Corpus, PeerRuns
from benchmarks.quality.points import Point
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.errors import RunError
from mtkit.pipeline.kinds import KINDS

OWN, ANYTIME = "mtkit", "mtkit-anytime"
NARROW = "-narrow"  # a peer's variant with the width of mtkit's recipe

# What suits peers on a CPU and a small corpus: many small updates at a high rate, reached soon. Checkpoints
# some twenty seconds apart cost about a hundredth of the time.
TRAINING = Training(batch_tokens=1024, learning_rate=1e-3, warmup_updates=800, save_updates=40)


class System(Protocol):
    """Something that can be trained for a time and scored.

    Attributes:
        name: in tables.
        peer: True for other people's.
    """

    name: str
    peer: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What it is trained with, for the reader."""
        ...

    def identity(self, minutes: float) -> str:
        """Hash of the settings that it has for a time; another hash asks for another point."""
        ...

    def points(self, minutes: Sequence[float]) -> Iterator[Point]:
        """Train and score; each point is given as soon as it is finished."""
        ...


class Systems:
    """mtkit with a recipe, and the peers that are installed.

    Args:
        recipe: mtkit's; its corpus is everybody's.
        overrides: `PATH=VALUE` for it.
        peers: drivers of all peers there could be.
        work: folder for everything that is made.
        cores: how many everybody may use.

    Raises:
        RunError: the recipe's corpus is not the peers'.
    """

    def __init__(
        self, recipe: Path, overrides: Sequence[str], peers: Sequence[Peer], work: Path, cores: int
    ) -> None:
        self._path, self._overrides = recipe.resolve(), tuple(overrides)
        self._work, self._cores = work.resolve(), cores
        self._recipe = read_recipe(recipe, KINDS, overrides_at(overrides, None))
        self._drivers = {peer.name: peer for peer in peers if peer.is_installed()}
        _check_corpus(self._recipe, recipe)

    @property
    def conditions(self) -> dict[str, Any]:
        """What is the same for all systems."""
        languages = f"{self._recipe.source}-{self._recipe.target}"
        corpus = _corpus_settings(self._recipe)
        return {"languages": languages, "corpus": corpus, "cores": self._cores, "beam_size": BEAM_SIZE}

    def versions(self) -> dict[str, str]:
        """Of the peers that are there."""
        return {name: driver.version() for name, driver in self._drivers.items()}

    def installed(self) -> list[str]:
        """mtkit and the peers; variants are trained only if they are named."""
        return [OWN, *self._drivers]

    def open(self, name: str) -> System:
        """A system by its name.

        Raises:
            RunError: there is none of this name, or it is not installed.
        """
        if name in (OWN, ANYTIME):
            # Without a wish of the environment's, mtkit itself chooses threads and precision.
            environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
            kind = OwnRuns if name == OWN else AnytimeRuns
            return kind(name, self._path, self._overrides, self._work, environment)
        driver = self._drivers.get(name.removesuffix(NARROW))
        if driver is None:
            raise RunError(
                f"no system {name!r} is installed",
                where="--systems",
                expected=f"none, {ANYTIME}, or some of {', '.join(self.installed())}",
                advice="Install peers by `make bench-peers`.",
            )
        return PeerRuns(name, driver, self._training(name), self._corpus, self._work)

    def _training(self, name: str) -> Training:
        training = replace(TRAINING, threads=self._cores)
        if not name.endswith(NARROW):
            return training
        model = self._recipe.stages["train"].settings.model_dump()["model"]
        return replace(training, shape=Shape(dim=model["dim"], ffn_dim=model["ffn_dim"]))

    def _corpus(self) -> Corpus:
        return Corpus(make_pieces(self._work / "pieces"), self._recipe.target)


def _corpus_settings(recipe: Recipe) -> dict[str, Any]:
    settings: dict[str, Any] = recipe.stages["corpus"].settings.model_dump(mode="json", by_alias=True)
    return settings


def _check_corpus(recipe: Recipe, path: Path) -> None:
    peers = read_recipe(RECIPE, KINDS)
    mine, theirs = ((item.source, item.target, item.seed, _corpus_settings(item)) for item in (recipe, peers))
    if mine != theirs:
        raise RunError(
            "its corpus, languages or seed are not those that peers are given",
            where=str(path),
            expected=f"those of {RECIPE.name}",
            advice="Change both, or neither: scores on other text cannot be compared.",
        )
