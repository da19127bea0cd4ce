"""Our vocabularies as a `tokenizer.json`, which transformers loads without any code of ours.

It normalises, cuts and joins text as `corpus/normalize.py` and `subword/codec.py` do together; certificates
say whether it does so on their lines.
"""

import sys
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from mtkit.corpus.normalize import REMOVED
from mtkit.errors import ModelError
from mtkit.subword.codec import CONTROL, SPACE_MARK_INSIDE, Subword
from mtkit.subword.vocabulary import EOS, SPACE_MARK, UNK

SPECIAL = 4  # ids that stand for no text
SPACES = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
FORMS = {"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}


def check_vocabularies(codec: Subword) -> None:
    """Refuse vocabularies that a tokenizer of transformers cannot be.

    Raises:
        ModelError: each side has its own, or they were imported.
    """
    if codec.card.algorithm == "imported":
        raise ModelError(
            "the vocabularies were imported from another toolkit",
            where="export huggingface",
            expected="vocabularies that mtkit learnt",
            advice="Use the folder that the model was imported from.",
        )
    if not codec.shared:
        raise ModelError(
            "each side has a vocabulary of its own (`subword.share: none`)",
            where="export huggingface",
            expected="one vocabulary for both sides, as a tokenizer of transformers has",
            advice="Train with `subword.share: source-and-target`, or export to ONNX or CTranslate2.",
        )


def tokenizer(codec: Subword, form: str) -> Tokenizer:
    """The tokenizer of a shared vocabulary.

    Args:
        codec: the vocabulary.
        form: normal form of the model's text.
    """
    pieces = codec.pieces(range(codec.size("source")), "source")
    made = Tokenizer(_model(codec, pieces))
    made.add_special_tokens([AddedToken(piece, special=True) for piece in pieces[:SPECIAL]])
    steps = [
        normalizers.Replace(Regex(_characters(REMOVED.pattern)), ""),
        *([FORMS[form]()] if form != "none" else []),
        normalizers.Replace(Regex(f"[{_characters(''.join(SPACES))}]+"), " "),
        normalizers.Strip(),
        normalizers.Replace(SPACE_MARK, SPACE_MARK_INSIDE),
    ]
    made.normalizer = normalizers.Sequence(steps)
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE_MARK, prepend_scheme="always", split=True)
    made.post_processor = TemplateProcessing(
        single=f"$A {pieces[EOS]}", pair=f"$A $B {pieces[EOS]}", special_tokens=[(pieces[EOS], EOS)]
    )
    silent = [chr(code) for code in range(256) if CONTROL.match(chr(code)) and chr(code) != SPACE_MARK_INSIDE]
    made.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE_MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Replace(Regex(f"[{_characters(''.join(silent))}]"), ""),
            decoders.Replace(SPACE_MARK_INSIDE, SPACE_MARK),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made


def config(tokens: Tokenizer, most: int) -> dict[str, Any]:
    """What `tokenizer_config.json` says.

    Args:
        tokens: the tokenizer.
        most: most tokens of a source.
    """
    pad, unknown, begin, end = (tokens.id_to_token(number) for number in range(SPECIAL))
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": pad,
        "unk_token": unknown,
        "bos_token": begin,
        "eos_token": end,
        "split_special_tokens": True,  # what looks like one in a text is text
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": most,
    }


def _model(codec: Subword, pieces: Sequence[str]) -> Any:
    fallback = codec.card.byte_fallback
    scores = codec.scores("source")
    if codec.card.algorithm == "unigram":
        return models.Unigram(list(zip(pieces, scores, strict=True)), UNK, fallback)
    ids = {piece: number for number, piece in enumerate(pieces)}
    merges = _merges(pieces, scores)
    return models.BPE(ids, merges, unk_token=pieces[UNK], fuse_unk=True, byte_fallback=fallback)


def _merges(pieces: Sequence[str], scores: Sequence[float]) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece, in the order in which SentencePiece merges them."""
    known = set(pieces[SPECIAL:])
    found = [
        (-scores[number], (piece[:at], piece[at:]))
        for number, piece in enumerate(pieces)
        if number >= SPECIAL
        for at in range(1, len(piece))
        if piece[:at] in known and piece[at:] in known
    ]
    return [pair for _, pair in sorted(found, key=lambda one: one[0])]


def _characters(pattern: str) -> str:
    """A class of characters with every one that a regular expression might misread spelt as its number."""
    return "".join(one if one in "[]-" else f"\\x{{{ord(one):X}}}" for one in pattern)
