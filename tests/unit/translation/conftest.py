from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from mtkit.config.search import SearchSettings
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.token_scores import TokenScores
from mtkit.translation.translator import Translator

FIRST = 4  # ids below are special


class CharacterCodec:
    """A piece is a character; what lies beyond the basic plane is unknown."""

    def encode(self, lines: Sequence[str], side: Literal["source", "target"]) -> list[list[int]]:
        return [
            [ord(character) + FIRST if ord(character) < 0x10000 else 1 for character in line]
            for line in lines
        ]

    def decode(self, ids: Sequence[int], side: Literal["source", "target"]) -> str:
        return "".join(self.pieces(ids, side))

    def size(self, side: Literal["source", "target"]) -> int:
        return 0x10000 + FIRST

    def pieces(self, ids: Sequence[int], side: Literal["source", "target"]) -> list[str]:
        return [chr(one - FIRST) if one >= FIRST else "" for one in ids]

    def spelt(self, side: Literal["source", "target"]) -> tuple[bytes, ...]:
        return tuple(piece.encode(errors="replace") for piece in self.pieces(range(self.size(side)), side))


@dataclass
class UpperCaseEngine:
    """Translates into upper case; `translate` may be replaced. Remembers what it was asked."""

    translate: Callable[[str], str] = str.upper
    finished: bool = True
    certified: str = ""
    device: str = "cpu"
    max_tokens: int | None = None
    calls: list[list[str]] = field(default_factory=list)

    def search(
        self, sources: Sequence[Sequence[int]], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        assert sources and all(sources), "nothing reached the model"
        codec = CharacterCodec()
        texts = [codec.decode(ids, "source") for ids in sources]
        self.calls.append(texts)
        return [
            [
                Hypothesis(
                    tuple(codec.encode([self.translate(text) + "!" * rank], "target")[0]),
                    log_probability=-float(len(text) + rank),
                    score=-float(1 + rank),
                    finished=self.finished,
                )
                for rank in range(settings.n_best)
            ]
            for text in texts
        ]

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        return [
            sum(one.log_probabilities) for one in self.token_scores(sources, targets, [True] * len(targets))
        ]

    def token_scores(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        finished: Sequence[bool],
        *,
        attention: bool = False,
    ) -> list[TokenScores]:
        return [
            TokenScores((-0.5,) * (len(target) + ended))
            for target, ended in zip(targets, finished, strict=True)
        ]


@pytest.fixture
def engine() -> UpperCaseEngine:
    return UpperCaseEngine()


@pytest.fixture
def translator(engine: UpperCaseEngine) -> Translator:
    return Translator(
        engine, CharacterCodec(), form="nfc", limit=31, settings=SearchSettings(), batch_tokens=100
    )
