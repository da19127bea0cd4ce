"""The subword stage: learn vocabularies from the training text of a corpus stage.

Applying them is `codec.py`'s business. The same text, settings and seed give the same bits on every machine.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from mtkit.config.subword import SubwordSettings
from mtkit.errors import DataError, MtkitError
from mtkit.files import read_lines
from mtkit.log import RunContext
from mtkit.subword.codec import FORMAT, Subword, SubwordCard, inside, model_file
from mtkit.subword.vocabulary import BOS, EOS, PAD, SIDES, UNK, Side

LEARNING_THREADS = 2  # part of the result: unigram sums its counts thread by thread
MAX_SENTENCE_BYTES = 16384  # SentencePiece learns from no longer line …
RESERVED = "\u2585"  # … nor from one with this character, by which it marks the unknown
SILENT = 4  # above SentencePiece's loudest level: what goes wrong is told by exceptions


@dataclass(frozen=True)
class SubwordInputs:
    """What the stage reads.

    Attributes:
        corpus: folder of a corpus stage, with `train.source` and `train.target`.
    """

    corpus: Path


def learn_subword(settings: SubwordSettings, inputs: SubwordInputs, out: Path, run: RunContext) -> None:
    """Learn the vocabularies and write `subword.json` and the models under `out`.

    Raises:
        DataError: the corpus has no text, or does not support the number of pieces.
    """
    models: dict[str, bytes] = {}
    for index, (name, texts) in enumerate(_texts_by_model(settings, inputs.corpus).items()):
        models[name] = _learn(settings, texts, [run.seed, index], run)
    card = SubwordCard(
        format=FORMAT,
        algorithm=settings.algorithm,
        share=settings.share,
        byte_fallback=settings.byte_fallback,
        sizes=dict.fromkeys(SIDES, settings.pieces),
        files={name: hashlib.sha256(model).hexdigest() for name, model in models.items()},
    )
    subword = Subword(card, models)
    subword.save(out)
    run.say(f"subword: {settings.pieces:,} {settings.algorithm} pieces in {' and '.join(sorted(models))}")


def _texts_by_model(settings: SubwordSettings, corpus: Path) -> dict[str, list[Path]]:
    """The files that each model learns from."""
    texts: dict[str, list[Path]] = {}
    for side in SIDES:
        texts.setdefault(model_file(settings.share, side), []).append(_training_text(corpus, side))
    return texts


def _training_text(corpus: Path, side: Side) -> Path:
    return corpus / f"train.{side}"


def _learn(settings: SubwordSettings, texts: list[Path], seed: list[int], run: RunContext) -> bytes:
    """One SentencePiece model, as bytes."""
    sentences = _Sentences(texts, settings.sentences, seed)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, **_trainer_arguments(settings)
        )
    except RuntimeError as error:
        raise sentences.failure or _explain(str(error), settings, texts) from error
    if sentences.left_out:
        run.say(
            f"subword: {sentences.left_out:,} lines of more than {MAX_SENTENCE_BYTES:,} bytes"
            f" or with {RESERVED} (U+{ord(RESERVED):04X}) were not learnt from"
        )
    return model.getvalue()


def _trainer_arguments(settings: SubwordSettings) -> dict[str, Any]:
    return {
        "model_type": settings.algorithm,
        "vocab_size": settings.pieces,
        "byte_fallback": settings.byte_fallback,
        "character_coverage": settings.character_coverage,
        "split_digits": settings.split_digits,
        "user_defined_symbols": [inside(piece) for piece in settings.user_defined],
        "pad_id": PAD,
        "unk_id": UNK,
        "bos_id": BOS,
        "eos_id": EOS,
        "unk_surface": "⁇",  # without SentencePiece's spaces around it, so that words stay together
        "normalization_rule_name": "identity",  # the corpus room has normalised the text
        "remove_extra_whitespaces": False,
        "num_threads": LEARNING_THREADS,
        "max_sentence_length": MAX_SENTENCE_BYTES,
        "train_extremely_large_corpus": settings.sentences is None,
        "minloglevel": SILENT,
    }


class _Sentences:
    """The sentences to learn from: those of all files, or `most` of them drawn by the seed.

    The files are read twice, to count and to draw, so that memory holds no text.

    Attributes:
        failure: what went wrong while reading, or None.
        left_out: sentences among them that SentencePiece passes over without a word.
    """

    def __init__(self, texts: list[Path], most: int | None, seed: list[int]) -> None:
        self.texts, self.most, self.seed = texts, most, seed
        self.failure: MtkitError | None = None
        self.left_out = 0

    def __iter__(self) -> Iterator[str]:
        # SentencePiece turns an error raised here into its own words: keep the real one.
        try:
            for line in self._drawn():
                self.left_out += len(line.encode()) > MAX_SENTENCE_BYTES or RESERVED in line
                yield line
        except MtkitError as error:
            self.failure = error
            raise

    def _drawn(self) -> Iterator[str]:
        if self.most is None:
            yield from map(inside, self._lines())
            return
        drawn = draw(sum(1 for _ in self._lines()), self.most, self.seed)
        for line, wanted in zip(self._lines(), drawn, strict=True):
            if wanted:
                yield inside(line)

    def _lines(self) -> Iterator[str]:
        for path in self.texts:
            yield from read_lines(path)


def draw(count: int, most: int, seed: list[int]) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which of `count` lines are drawn, `most` of them at random, each as likely as any other.

    Returns:
        one boolean a line.
    """
    if count <= most:
        return np.ones(count, dtype=np.bool_)
    # Raw generator output is what numpy promises never to change; its shuffles it may.
    keys = np.random.PCG64(seed).random_raw(count)
    return np.asarray(keys <= np.partition(keys, most - 1)[most - 1])


def _explain(message: str, settings: SubwordSettings, texts: list[Path]) -> DataError:
    """SentencePiece's complaint as one that says what to do."""
    where = ", ".join(str(path) for path in texts)
    pieces = settings.pieces
    if match := re.search(r"Vocabulary size too high \(\d+\)\D+(\d+)", message):
        return DataError(
            f"{pieces:,} pieces are more than this text supports",
            where=where,
            expected=f"at most {match[1]} pieces",
            advice=f"Set `stages.subword.pieces: {match[1]}` or less, or learn from more text.",
        )
    if match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return DataError(
            f"{pieces:,} pieces are too few for the characters of this text",
            where=where,
            expected=f"at least {match[1]} pieces",
            advice=f"Raise `stages.subword.pieces` well above {match[1]}, or lower `character_coverage`.",
        )
    if "sentences_.empty()" in message:
        return DataError(
            "there is no text to learn pieces from",
            where=where,
            expected="sentences, one a line",
            advice="See in corpus.json what the filters removed.",
        )
    return DataError(
        f"SentencePiece cannot learn from this text: {message}",
        where=where,
        expected="normalised sentences, one a line",
        advice="Try another `stages.subword.pieces` or `algorithm`.",
    )
