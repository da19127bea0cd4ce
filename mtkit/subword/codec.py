"""Text to ids and back with learnt vocabularies: encode, sample, decode, load, save.

Learning them is `learn.py`'s business; normalising the text before is the corpus room's. Neither
BOS nor EOS is added here: `batches/` does.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import sentencepiece

from mtkit.errors import ModelError, RecipeError
from mtkit.files import atomic, read_versioned_json, user_errors, write_json
from mtkit.subword.vocabulary import SIDES, SPACE_MARK, Ids, Side

if TYPE_CHECKING:  # what only samples is not loaded to translate
    from mtkit.config.training import SubwordSampling
    from mtkit.subword.segmenting import Sampler

FORMAT = 1  # raised when a newer mtkit writes what this one cannot read
IMPORTED_FORMAT = 2  # of vocabularies that were imported, which the first version could not read
CARD = "subword.json"

# SentencePiece writes U+2581 for a space, so that one in the text would come back as a space. Normalised
# text holds no control characters: one of them stands for U+2581 inside the models.
SPACE_MARK_INSIDE = "\x1a"
_NO_MODEL = "it is not a SentencePiece model"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


Algorithm = Literal["bpe", "unigram", "imported"]


@dataclass(frozen=True)
class SubwordCard:
    """What `subword.json` says of the models beside it.

    Attributes:
        format: version of this file's layout.
        algorithm: how the vocabularies were learnt; `imported`: elsewhere, and their ids are their own.
        share: `source-and-target` for one vocabulary, `none` for one each.
        byte_fallback: True if characters outside the vocabulary are spelt as bytes.
        sizes: pieces of each side's vocabulary, special pieces included.
        files: SHA-256 of each model file.
    """

    format: int
    algorithm: Algorithm
    share: Literal["source-and-target", "none"]
    byte_fallback: bool
    sizes: dict[str, int]
    files: dict[str, str]


class Subword:
    """The vocabularies of both sides.

    Args:
        card: what is known of the models.
        models: bytes of each file by its name, as the card lists them.
    """

    def __init__(self, card: SubwordCard, models: dict[str, bytes]) -> None:
        self.card = card
        self._models = models
        if card.algorithm == "imported":
            self._processors = {side: _renumbered(card, models, side) for side in SIDES}
        else:
            processors = {name: _processor(name, model) for name, model in models.items()}
            self._processors = {side: processors[model_file(card.share, side)] for side in SIDES}
        self._sampler = lru_cache(maxsize=len(SIDES))(self._new_sampler)  # it remembers words

    @classmethod
    def load(cls, folder: Path) -> "Subword":
        """Read the vocabularies of a subword stage or a model folder.

        Raises:
            ModelError: a file is missing, damaged, or written by a newer mtkit.
        """
        card = _read_card(folder / CARD)
        return cls(card, {name: _read_model(folder / name, digest) for name, digest in card.files.items()})

    def save(self, folder: Path) -> None:
        """Write the same files that were loaded, bit for bit."""
        for name, model in self._models.items():
            with atomic(folder / name) as stream:
                stream.write(model)
        write_json(folder / CARD, asdict(self.card))

    @property
    def shared(self) -> bool:
        """True if an id means the same piece on both sides."""
        return self.card.share == "source-and-target"

    def size(self, side: Side) -> int:
        """How many ids the side's vocabulary has, special ones included."""
        return int(self._processors[side].get_piece_size())

    def encode(self, lines: Sequence[str], side: Side, *, threads: int = 1) -> list[list[int]]:
        """The best segmentation of each normalised line, as ids without BOS and EOS.

        Args:
            lines: normalised text: no control characters, single spaces, none at the ends.
            side: whose vocabulary.
            threads: CPU threads; the result does not depend on them.
        """
        processor = self._processors[side]
        if len(lines) == 1:  # for a list SentencePiece starts a thread, which takes eight times as long
            return [processor.encode(inside(lines[0]))]
        ids: list[list[int]] = processor.encode(_inside(lines), num_threads=threads)
        return ids

    def sample(
        self, lines: Sequence[str], side: Side, sampling: "SubwordSampling", seed: int
    ) -> list[list[int]]:
        """A random segmentation of each normalised line; the best one on a side that is not sampled.

        Args:
            lines: normalised text.
            side: whose vocabulary.
            sampling: how far to stray from the best segmentation, and on which sides.
            seed: from 0; the same lines and seed give the same ids, in every process and on every machine.

        Raises:
            RecipeError: the sampling has a setting that this algorithm does not know.
        """
        self.check_sampling(sampling)
        if sampling.sides not in (side, "both"):
            return self.encode(lines, side)
        strength = sampling.probability if self.card.algorithm == "bpe" else sampling.temperature
        return self._sampler(model_file(self.card.share, side), strength).sample(_inside(lines), seed)

    def _new_sampler(self, model: str, strength: float) -> "Sampler":
        """What samples with the model of this name."""
        from mtkit.subword.segmenting import DroppingMerges, Pieces, SampledLattice

        pieces = Pieces(_processor(model, self._models[model]))
        return (
            DroppingMerges(pieces, strength)
            if self.card.algorithm == "bpe"
            else SampledLattice(pieces, strength)
        )

    def check_sampling(self, sampling: "SubwordSampling") -> None:
        """Refuse a setting of `sampling` that cannot have an effect on these vocabularies.

        Raises:
            RecipeError: `temperature` was given for BPE, or `probability` for unigram.
        """
        used, unused = ("probability", "temperature")
        if self.card.algorithm == "unigram":
            used, unused = unused, used
        if unused in sampling.model_fields_set:
            raise RecipeError(
                f"`{unused}: {getattr(sampling, unused)}` has no effect on a vocabulary learnt by"
                f" {self.card.algorithm}",
                where=f"stages.train.subword_sampling.{unused}",
                expected=f"`{used}`, which is what {self.card.algorithm} samples by",
                advice=f"Remove `{unused}`, or choose the other algorithm in the subword stage.",
            )

    def decode(self, ids: Ids, side: Side) -> str:
        """The text of one sentence's ids; special ids are silent, control characters are left out.

        Control characters can only come from bytes that a model put together at random, and a line
        break among them would shift every line after it.
        """
        return CONTROL.sub(_outside, self._processors[side].decode([int(one) for one in ids]))

    def decode_all(self, sentences: Sequence[Ids], side: Side) -> list[str]:
        """The text of each sentence's ids, as `decode` gives it."""
        if not sentences:
            return []
        texts = self._processors[side].decode([[int(one) for one in ids] for ids in sentences])
        return [CONTROL.sub(_outside, text) for text in texts]

    def pieces(self, ids: Ids, side: Side) -> list[str]:
        """The pieces that the ids stand for, with U+2581 where a space is."""
        return [str(piece) for piece in self._processors[side].id_to_piece([int(one) for one in ids])]

    def scores(self, side: Side) -> list[float]:
        """How much segmentation likes each piece; of BPE minus the rank of its merge."""
        return [float(one) for one in self._processors[side].get_score(list(range(self.size(side))))]

    def spelt(self, side: Side) -> tuple[bytes, ...]:
        """What each id of a vocabulary adds to a text, in UTF-8; a word begins with its space."""
        processor = self._processors[side]
        texts = []
        for number, piece in enumerate(self.pieces(range(self.size(side)), side)):
            if processor.is_byte(number):
                texts.append(_byte_outside(int(piece[1:-1], 16)))  # <0xE4>
            elif processor.is_control(number) or processor.is_unknown(number):
                texts.append(b"")
            else:
                text = piece.replace(SPACE_MARK, " ").replace(SPACE_MARK_INSIDE, SPACE_MARK)
                texts.append(text.encode())
        return tuple(texts)


def model_file(share: str, side: Side) -> str:
    """The name of the SentencePiece model that a side uses."""
    return "shared.model" if share == "source-and-target" else f"{side}.model"


def vocabulary_file(share: str, side: Side) -> str:
    """The name of the list of pieces that gives an imported side its ids."""
    return "shared.vocabulary.json" if share == "source-and-target" else f"{side}.vocabulary.json"


def inside(text: str) -> str:
    """Normalised text as SentencePiece may see it."""
    return text.replace(SPACE_MARK, SPACE_MARK_INSIDE)


def _inside(lines: Sequence[str]) -> list[str]:
    return [inside(line) for line in lines]


def _outside(match: re.Match[str]) -> str:
    return SPACE_MARK if match[0] == SPACE_MARK_INSIDE else ""


def _byte_outside(byte: int) -> bytes:
    """What a byte of a text inside SentencePiece is outside; no control character comes out."""
    if byte == ord(SPACE_MARK_INSIDE):
        return SPACE_MARK.encode()
    return b"" if byte < 0x20 or byte == 0x7F else bytes([byte])


def foreign_model(path: Path) -> bytes:
    """The bytes of a SentencePiece model that another toolkit left.

    Raises:
        ModelError: it is none.
    """
    with user_errors(path):
        model = path.read_bytes()
    try:
        _loaded(model)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            _NO_MODEL,
            where=str(path),
            expected="the file as the makers of the model wrote it",
            advice="Fetch the model again.",
        ) from error
    return model


def _processor(name: str, model: bytes) -> Any:
    try:
        return _loaded(model)
    except (RuntimeError, ValueError) as error:
        raise _damaged(name, _NO_MODEL) from error


def _loaded(model: bytes) -> Any:
    """A SentencePiece model, or RuntimeError or ValueError where it is none."""
    processor = sentencepiece.SentencePieceProcessor()
    processor.load(model_proto=model)
    return processor


def _renumbered(card: SubwordCard, models: dict[str, bytes], side: Side) -> Any:
    from mtkit.subword.imported import Renumbered

    name, listed = f"{side}.model", vocabulary_file(card.share, side)
    return Renumbered(_processor(name, models[name]), json.loads(models[listed]), SPACE_MARK_INSIDE)


def _files(card: SubwordCard) -> set[str]:
    """The names of the files that vocabularies lie in."""
    if card.algorithm == "imported":
        return {name for side in SIDES for name in (f"{side}.model", vocabulary_file(card.share, side))}
    return {model_file(card.share, side) for side in SIDES}


def _read_card(path: Path) -> SubwordCard:
    if not path.is_file():
        raise ModelError(
            "no subword vocabularies here",
            where=str(path),
            expected="subword.json, as `mtkit subword` writes it",
            advice="Check the folder's name, or run the recipe again.",
        )
    values = read_versioned_json(path, IMPORTED_FORMAT, error=ModelError)
    try:
        card = SubwordCard(**values)
        if card.algorithm in get_args(Algorithm) and set(card.files) == _files(card):
            return card
    except (TypeError, AttributeError):
        pass
    raise _damaged(str(path), "its entries are not those of a subword vocabulary")


def _read_model(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise _damaged(str(path), "the file is missing")
    with user_errors(path):
        model = path.read_bytes()
    if hashlib.sha256(model).hexdigest() != digest:
        raise _damaged(str(path), "its SHA-256 is not the one in subword.json")
    return model


def _damaged(where: str, what: str) -> ModelError:
    return ModelError(
        f"the subword vocabulary is damaged: {what}",
        where=where,
        expected="the file as it was written",
        advice="Restore the folder from a copy, or delete it and run the recipe again.",
    )
