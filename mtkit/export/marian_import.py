"""A Marian model in a Hugging Face folder, made into a model folder.

What our model cannot be is named before anything is written. Reading the folder is `marian_folder.py`'s
business, which weight is which `marian_layout.py`'s.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mtkit import __version__
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.export import marian_layout as layout
from mtkit.export.marian_folder import (
    CONFIG,
    GENERATION,
    POSITIONS,
    SPM,
    TOKENIZER,
    UNKNOWN,
    WEIGHTS,
    Theirs,
    architecture_of,
    json_of,
    order_of,
    read_theirs,
    unfit,
)
from mtkit.files import sha256
from mtkit.model.folder import IMPORTED, ModelCard
from mtkit.model.transformer import Transformer
from mtkit.model.weights import save_model
from mtkit.subword.codec import IMPORTED_FORMAT, Subword, SubwordCard, foreign_model, vocabulary_file
from mtkit.subword.vocabulary import BOS, EOS, PAD, SIDES, UNK, Side

# what their search may be told beside what `_searched` and `_decoding` look at
BEYOND = (
    *("min_length", "min_new_tokens", "num_beam_groups", "do_sample", "repetition_penalty"),
    *("encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty"),
    *("begin_suppress_tokens", "forced_bos_token_id", "sequence_bias", "force_words_ids"),
)
SPECIAL = ("pad", "unk", "s", "/s")
NEVER = -1e9  # the bias of an id that stands for nothing: its probability is 0 in any precision


def import_marian(
    folder: Path, out: Path, languages: tuple[str | None, str | None], say: Callable[[str], None]
) -> ModelCard:
    """Make a model folder of a Hugging Face folder with a MarianMTModel.

    Args:
        folder: what `save_pretrained` of model and tokenizer wrote.
        out: the model folder to be.
        languages: source and target; None: as the tokenizer says.
        say: hears what of the folder has no place here.

    Returns:
        The card that was written.

    Raises:
        ModelError: something is missing, or is what our model cannot be.
    """
    theirs = read_theirs(folder)
    settings = architecture_of(theirs)
    orders = {side: order_of(theirs, side) for side in SIDES}
    model = _model(theirs, settings, orders)
    decoding = _decoding(folder, theirs, say)
    source, target = _languages(folder, languages)
    card = ModelCard(
        architecture=settings,
        source_language=source,
        target_language=target,
        normalize="none",  # their SentencePiece models normalise
        source_size=len(orders["source"]),
        target_size=len(orders["target"]),
        output_bias=True,
        max_tokens=theirs.config.get(POSITIONS),
        decoding=decoding,
        provenance={
            IMPORTED: {
                "from": "marian",
                "by": f"mtkit {__version__}",
                "files": {name: sha256(folder / name) for name in (CONFIG, WEIGHTS)},
            }
        },
    )
    with tempfile.TemporaryDirectory() as place:
        _subword(theirs, orders).save(Path(place))
        save_model(out, model, card, Path(place))
    return card


def _model(theirs: Theirs, settings: ModelSettings, orders: Mapping[Side, Sequence[int]]) -> Transformer:
    sizes = len(orders["source"]), len(orders["target"])
    model = Transformer(settings, *sizes, output_bias=True)
    weights = dict(model.named_parameters())
    one = _names_of_one(theirs, settings)
    given = _named_alike(theirs.tensors, one)
    wanted = _wanted(theirs, settings, weights)
    _check_weights(theirs.folder / WEIGHTS, given, wanted, one)
    rows = {side: torch.tensor(orders[side]) for side in SIDES}
    with torch.no_grad():
        for pairing in layout.pairings(settings):
            weights[pairing.ours].copy_(layout.to_ours(pairing, given))
        for ours, name, side in _matrices(theirs, settings):
            weights[ours].copy_(layout.reordered(given[name].float(), 1)[rows[side]])
        bias = given.get(layout.OUTPUT_BIAS)
        if bias is not None:
            weights["output_bias"].copy_(bias.float().flatten()[rows["target"]])
        weights["output_bias"][_repeated(orders["target"])] = NEVER
    return model.eval()


def _repeated(order: Sequence[int]) -> list[int]:
    """Our ids that stand for the same as another; Marian begins a translation with padding."""
    taken: set[int] = set()
    repeated = []
    for number in (EOS, UNK, PAD, BOS):
        if order[number] in taken:
            repeated.append(number)
        taken.add(order[number])
    return repeated


def _matrices(theirs: Theirs, settings: ModelSettings) -> Iterator[tuple[str, str, Side]]:
    """Our matrices with a row for each id: their name here and there, and whose ids they are."""
    target = layout.SHARED if theirs.shared else layout.TARGET_EMBEDDING
    yield "target_embedding.weight", target, "target"
    if settings.tied_embeddings != "all":
        yield "source_embedding.weight", layout.SHARED if theirs.shared else layout.SOURCE_EMBEDDING, "source"
    if settings.tied_embeddings == "none":
        yield "output_layer.weight", layout.OUTPUT, "target"


def _names_of_one(theirs: Theirs, settings: ModelSettings) -> list[str]:
    """All names of the matrix that writes a target's vectors, and reads the source's or makes logits too."""
    sides = [layout.SHARED, layout.SOURCE_EMBEDDING, layout.TARGET_EMBEDDING]
    names = sides if theirs.shared else sides[-1:]
    return names if settings.tied_embeddings == "none" else [*names, layout.OUTPUT]


def _named_alike(tensors: Mapping[str, Tensor], one: Sequence[str]) -> dict[str, Tensor]:
    """Weights by name; what has several names may be stored under any of them, and is found under all."""
    found = dict(tensors)
    for stored in [found[name] for name in one if name in found][:1]:
        for name in one:
            found.setdefault(name, stored)
    return found


def _wanted(
    theirs: Theirs, settings: ModelSettings, weights: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """Name there → shape."""
    wanted: dict[str, tuple[int, ...]] = {}
    for pairing in layout.pairings(settings):
        first, *rest = weights[pairing.ours].shape
        wanted.update(dict.fromkeys(pairing.theirs, (first // len(pairing.theirs), *rest)))
    for _, name, side in _matrices(theirs, settings):
        wanted[name] = (len(theirs.vocabularies[side]), settings.dim)
    if layout.OUTPUT_BIAS in theirs.tensors:
        wanted[layout.OUTPUT_BIAS] = (1, len(theirs.vocabularies["target"]))
    return wanted


def _check_weights(
    path: Path, given: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], one: Sequence[str]
) -> None:
    problems = []
    for name, shape in wanted.items():
        if name not in given:
            problems.append(f"no weight {name!r}")
        elif tuple(given[name].shape) != shape:
            problems.append(f"{name!r} of shape {tuple(given[name].shape)}, wanted {shape}")
    problems += [
        f"{name!r} differs from {one[0]!r}, with which it is one here"
        for name in one
        if name in given and not torch.equal(given[name], given[one[0]])
    ]
    known = {*wanted, *layout.COMPUTED, layout.SHARED, layout.OUTPUT}
    known |= {layout.SOURCE_EMBEDDING, layout.TARGET_EMBEDDING, layout.OUTPUT_BIAS}
    problems += [
        f"a weight {name!r}, which this model does not have" for name in sorted(given.keys() - known)
    ]
    if problems:
        raise unfit(path, problems)


def _subword(theirs: Theirs, orders: Mapping[Side, Sequence[int]]) -> Subword:
    share: Literal["source-and-target", "none"] = "source-and-target" if theirs.shared else "none"
    files: dict[str, bytes] = {}
    for side in SIDES:
        files[f"{side}.model"] = foreign_model(theirs.folder / SPM[side])
        pieces = {number: piece for piece, number in theirs.vocabularies[side].items()}
        listed = [pieces[number] for number in orders[side]]
        for number in _repeated(orders[side]):  # every piece has a name of its own
            listed[number] = next(name for name in _names(SPECIAL[number]) if name not in listed)
        text = json.dumps(listed, ensure_ascii=False, indent=0) + "\n"
        files[vocabulary_file(share, side)] = text.encode()
    card = SubwordCard(
        format=IMPORTED_FORMAT,
        algorithm="imported",
        share=share,
        byte_fallback=False,  # their models may meet, and want to produce, unknown pieces
        sizes={side: len(orders[side]) for side in SIDES},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return Subword(card, files)


def _names(word: str) -> Iterator[str]:
    yield f"<{word}>"
    yield from (f"<{word}{number}>" for number in count(1))


def _decoding(folder: Path, theirs: Theirs, say: Callable[[str], None]) -> SearchSettings:
    """How they search by default, as far as it can be said here."""
    path = folder / GENERATION
    config = theirs.config
    given = json_of(folder, GENERATION) if path.is_file() else dict(config)
    # never produced here either
    silent = [config.get("pad_token_id"), config.get("decoder_start_token_id")]
    silent.append(theirs.vocabularies["target"][UNKNOWN])
    left_out = {name: given.get(name) for name in BEYOND}
    left_out["bad_words_ids"] = [ids for ids in given.get("bad_words_ids") or [] if ids != silent[:1]]
    left_out["suppress_tokens"] = [one for one in given.get("suppress_tokens") or [] if one not in silent]
    told = [f"{name}: {value}" for name, value in left_out.items() if value and value != 1.0]
    if told:
        say(f"import: left out of the search: {', '.join(told)}")
    try:
        return _searched(given)
    except (ValueError, TypeError) as error:
        names = ("num_beams", "length_penalty", "no_repeat_ngram_size")
        shown = ", ".join(f"{name}: {given[name]}" for name in names if given.get(name) is not None)
        raise ModelError(
            f"it searches in a way that cannot be said here: {shown}",
            where=str(path if path.is_file() else folder),
            expected="a beam of 1 to 100, and a length penalty of 0 or more",
            advice="Change it there; `mtkit translate` has options of its own.",
        ) from error


def _searched(given: Mapping[str, Any]) -> SearchSettings:
    beam = given.get("num_beams") or 1
    settings: dict[str, Any] = {"beam_size": beam}
    if beam > 1:
        penalty = given.get("length_penalty")
        settings["length_penalty"] = 1.0 if penalty is None else float(penalty)
        if settings["length_penalty"]:
            settings["length_penalty_form"] = "average"
    if given.get("no_repeat_ngram_size"):
        settings["no_repeat_ngram"] = given["no_repeat_ngram_size"]
    return SearchSettings.model_validate(settings)


def _languages(folder: Path, named: tuple[str | None, str | None]) -> tuple[str, str]:
    path = folder / TOKENIZER
    told = json_of(folder, TOKENIZER) if path.is_file() else {}
    found = [name or told.get(f"{side}_lang") for name, side in zip(named, SIDES, strict=True)]
    for code, side in zip(found, SIDES, strict=True):
        if not code:
            raise ModelError(
                f"nothing says what language the {side} is",
                where=str(path),
                expected=f"`{side}_lang`",
                advice=f"Add `--{side} CODE`.",
            )
    return str(found[0]), str(found[1])
