"""Our vocabularies as a `tokenizer.json`, which transformers loads without any code of ours.

A `tokenizer.json` normalises, cuts and joins text as `corpus/normalize.py` and `subword/codec.py` do
together; certificates say whether it does so on their lines. Vocabularies that were imported become again
what they were.
"""

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from mtkit.corpus.normalize import REMOVED
from mtkit.files import write_json, write_text
from mtkit.model.folder import ModelCard
from mtkit.subword.codec import CONTROL, SPACE_MARK_INSIDE, Subword
from mtkit.subword.vocabulary import BOS, EOS, PAD, SIDES, SPACE_MARK, UNK, Side

OF_TARGET = "target_tokenizer"  # the folder inside; transformers' own word for it is `subfolder`
SPECIAL = 4  # ids that stand for no text
SPACES = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
FORMS = {"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}
BYTE = re.compile("<0x[0-9A-F]{2}>")
# Private characters from here down, of which there are 65,534, stand for user-defined pieces: a character is
# never cut.
WHOLE = 0x10FFFD


def write_tokenizers(codec: Subword, card: ModelCard, folder: Path, most: int) -> dict[Side, str]:
    """Write what transformers loads as tokenizers.

    Args:
        codec: the vocabularies.
        card: of the model: languages, normal form.
        folder: of the exported model.
        most: most tokens of a line.

    Returns:
        Where each side's lies inside the folder; of one that knows both sides, only the source's.
    """
    if codec.card.algorithm == "imported":
        _write_marian(codec, card, folder, most)
        return {"source": "."}
    places: dict[Side, str] = {"source": "."} if codec.shared else {"source": ".", "target": OF_TARGET}
    for side, inside in places.items():
        place = folder / inside
        place.mkdir(exist_ok=True)
        tokens = tokenizer(codec, card.normalize, side)
        write_text(place / "tokenizer.json", tokens.to_str(pretty=True))
        write_json(place / "tokenizer_config.json", config(tokens, most))
    return places


def _write_marian(codec: Subword, card: ModelCard, folder: Path, most: int) -> None:
    """Vocabularies that were imported, as the MarianTokenizer that they came from, with our ids."""
    pieces = {side: codec.pieces(range(codec.size(side)), side) for side in SIDES}
    with TemporaryDirectory() as work:
        codec.save(Path(work))
        for side in SIDES:
            ids = {piece: number for number, piece in enumerate(pieces[side])}
            write_json(Path(work) / f"{side}.json", ids)
        made = transformers.MarianTokenizer(
            source_spm=f"{work}/source.model",
            target_spm=f"{work}/target.model",
            vocab=f"{work}/source.json",
            target_vocab_file=None if codec.shared else f"{work}/target.json",
            separate_vocabs=not codec.shared,
            source_lang=card.source_language,
            target_lang=card.target_language,
            pad_token=pieces["source"][PAD],
            unk_token=pieces["source"][UNK],
            eos_token=pieces["source"][EOS],
            extra_special_tokens=[pieces["target"][BOS]],  # with which `generate` begins
            model_max_length=most,
        )
        made.save_pretrained(folder)


def tokenizer(codec: Subword, form: str, side: Side = "source") -> Tokenizer:
    """The tokenizer of a side's vocabulary; of a shared one, both sides'.

    Args:
        codec: the vocabularies.
        form: normal form of the model's text.
        side: whose.
    """
    pieces, scores = codec.pieces(range(codec.size(side)), side), codec.scores(side)
    whole = _stand_ins(pieces, scores)
    made = Tokenizer(_model(codec, [whole.get(piece, piece) for piece in pieces], scores))
    made.add_special_tokens([AddedToken(piece, special=True) for piece in pieces[:SPECIAL]])
    steps = [
        normalizers.Replace(Regex(_characters(REMOVED.pattern)), ""),
        *([FORMS[form]()] if form != "none" else []),
        normalizers.Replace(Regex(f"[{_characters(''.join(SPACES))}]+"), " "),
        normalizers.Strip(),
        normalizers.Replace(SPACE_MARK, SPACE_MARK_INSIDE),
        *(normalizers.Replace(piece, character) for piece, character in whole.items()),
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
            *(decoders.Replace(character, piece) for piece, character in whole.items()),
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
        most: most tokens of a line.
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


def _stand_ins(pieces: Sequence[str], scores: Sequence[float]) -> dict[str, str]:
    """User-defined piece → the character that stands for it inside, the longest first.

    They score 0; what was learnt scores less, the first merge of BPE -0.
    """
    whole = [
        piece
        for piece, score in list(zip(pieces, scores, strict=True))[SPECIAL:]
        if math.copysign(1.0, score) > 0 and not BYTE.fullmatch(piece)
    ]
    return {piece: chr(WHOLE - at) for at, piece in enumerate(sorted(whole, key=len, reverse=True))}


def _model(codec: Subword, pieces: Sequence[str], scores: Sequence[float]) -> Any:
    fallback = codec.card.byte_fallback
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
