"""What a Hugging Face folder says of a Marian model, and whether our model can be that.

Neither transformers nor a pickle is needed. What our model cannot be is named, all of a file at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from torch import Tensor

from mtkit.config.model import ModelSettings
from mtkit.errors import ModelError
from mtkit.export.marian_layout import ACTIVATIONS
from mtkit.files import read_json
from mtkit.model.weights import read_tensors
from mtkit.subword.imported import numbered
from mtkit.subword.vocabulary import Side

CONFIG, WEIGHTS, PICKLE = "config.json", "model.safetensors", "pytorch_model.bin"
GENERATION, TOKENIZER = "generation_config.json", "tokenizer_config.json"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
SPM: Mapping[Side, str] = {"source": "source.spm", "target": "target.spm"}
UNKNOWN = "<unk>"
# of what Marian itself can do, transformers' model does this alone; of the scale it does both
FIXED = {
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "static_position_embeddings": True,
    "scale_embedding": True,
}
SIZES = (
    "d_model",
    "encoder_ffn_dim",
    "encoder_layers",
    "decoder_layers",
    "encoder_attention_heads",
    "vocab_size",
)
RATES: Mapping[str, float] = {"dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0}  # defaults
POSITIONS = "max_position_embeddings"
MOST_POSITIONS = 1_000_000  # a table of them has a row for each
SHOWN = 8  # problems that a message lists


@dataclass(frozen=True)
class Theirs:
    """All that a Hugging Face folder says of its model.

    Attributes:
        folder: the folder.
        config: `config.json`.
        vocabularies: piece → id of each side; the same one if they share it.
        shared: whether they do.
        tensors: the weights by their names there.
    """

    folder: Path
    config: dict[str, Any]
    vocabularies: dict[Side, dict[str, int]]
    shared: bool
    tensors: dict[str, Tensor]


def read_theirs(folder: Path) -> Theirs:
    """Read all of a folder that has to be there.

    Raises:
        ModelError: something is missing, is a pickle, or is no Marian model.
    """
    config = json_of(folder, CONFIG)
    if config.get("model_type") != "marian":
        raise unfit(folder / CONFIG, [f"`model_type` is {config.get('model_type')!r}, not 'marian'"])
    if not (folder / WEIGHTS).is_file() and (folder / PICKLE).is_file():
        raise ModelError(
            f"the weights are a pickle, {PICKLE}, which can run any program when it is read",
            where=str(folder),
            expected=f"{WEIGHTS}",
            advice="If you trust it, convert it with transformers: "
            "MarianMTModel.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    shared = bool(config.get("share_encoder_decoder_embeddings", True))
    source = _vocabulary(folder, VOCABULARY)
    target = source if shared else _vocabulary(folder, TARGET_VOCABULARY)
    _check_there(folder, (WEIGHTS, *SPM.values()))
    tensors = read_tensors(folder / WEIGHTS)
    return Theirs(folder, config, {"source": source, "target": target}, shared, tensors)


def json_of(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the folder.

    Raises:
        ModelError: it is missing, or something else.
    """
    _check_there(folder, (name,))
    value = read_json(folder / name, error=ModelError)
    if not isinstance(value, dict):
        raise unfit(folder / name, ["it is no JSON object"])
    return value


def _check_there(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"no {', '.join(missing)} in this folder" if folder.is_dir() else "no such folder",
            where=str(folder),
            expected="a folder that `save_pretrained` of a MarianMTModel and its MarianTokenizer wrote",
            advice="Fetch all files of the model.",
        )


def _vocabulary(folder: Path, name: str) -> dict[str, int]:
    pieces = json_of(folder, name)
    if sorted(pieces.values(), key=str) != sorted(range(len(pieces)), key=str) or UNKNOWN not in pieces:
        expected = f"the ids 0 to {len(pieces) - 1:,} once each, and {UNKNOWN}"
        raise unfit(folder / name, [f"{len(pieces):,} pieces, but not {expected}"])
    return pieces


def architecture_of(theirs: Theirs) -> ModelSettings:
    """Their sizes as our settings.

    Raises:
        ModelError: our model cannot be that; with every reason.
    """
    config = theirs.config
    problems = list(_misfits(config)) or list(_absent(config, theirs.tensors))
    if problems:
        raise unfit(theirs.folder / CONFIG, problems)
    tied = config.get("tie_word_embeddings", True)
    return ModelSettings.model_validate(
        {
            "dim": config["d_model"],
            "ffn_dim": config["encoder_ffn_dim"],
            "heads": config["encoder_attention_heads"],
            "encoder_layers": config["encoder_layers"],
            "decoder_layers": config["decoder_layers"],
            "norm_order": "post",
            "activation": ACTIVATIONS[config["activation_function"]],
            "tied_embeddings": ("all" if theirs.shared else "target") if tied else "none",
            **{name: config.get(name, default) for name, default in RATES.items()},
        }
    )


def _misfits(config: Mapping[str, Any]) -> Iterator[str]:
    """What of a config our model cannot be."""
    yield from _no_numbers(config)
    for kind in ("attention_heads", "ffn_dim"):
        ours, other = config.get(f"encoder_{kind}"), config.get(f"decoder_{kind}")
        if ours != other:
            yield f"`encoder_{kind}` is {ours!r}, `decoder_{kind}` {other!r}, but both sides are alike here"
    activation = config.get("activation_function")
    if activation not in list(ACTIVATIONS):  # a list bears what has no hash
        yield f"`activation_function` is {activation!r}, but there are {', '.join(ACTIVATIONS)}"
    for name, wanted in FIXED.items():
        given = config.get(name, wanted if name != "scale_embedding" else False)
        if given != wanted:
            yield f"`{name}` is {given!r}, but ours is {wanted!r}"
    dim, heads = config.get("d_model"), config.get("encoder_attention_heads")
    if _is_int(dim) and _is_int(heads) and heads > 0 and (dim % heads or dim % 2):
        yield f"`d_model` is {dim}, which is odd or no multiple of {heads} heads"


def _no_numbers(config: Mapping[str, Any]) -> Iterator[str]:
    """What of a config is not the number that it should be."""
    for name in SIZES:
        if not _is_int(config.get(name)) or config[name] < 1:
            yield f"`{name}` is {config.get(name)!r}, not a size"
    for name, default in RATES.items():
        rate = config.get(name, default)
        if not (_is_int(rate) or isinstance(rate, float)) or not 0 <= rate < 1:
            yield f"`{name}` is {rate!r}, not a probability below 1"
    positions = config.get(POSITIONS)
    if positions is not None and (not _is_int(positions) or not 2 <= positions <= MOST_POSITIONS):
        yield f"`{POSITIONS}` is {positions!r}, not a number of tokens from 2 to {MOST_POSITIONS:,}"


def _absent(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Sizes of a config that its weights cannot have; a model of them might need any memory."""
    sides = {side for tensor in tensors.values() for side in tensor.shape}
    for name in ("d_model", "encoder_ffn_dim"):
        if config[name] not in sides:
            yield f"`{name}` is {config[name]:,}, but no weight in {WEIGHTS} has a side of that size"
    for name in ("encoder_layers", "decoder_layers"):
        if config[name] > len(tensors):
            yield f"`{name}` is {config[name]:,}, but {WEIGHTS} has {len(tensors):,} weights in all"


def _is_int(value: Any) -> TypeGuard[int]:
    """True for a whole number; true and false are none, though Python counts with them."""
    return isinstance(value, int) and not isinstance(value, bool)


def order_of(theirs: Theirs, side: Side) -> list[int]:
    """Their id of each of ours.

    Raises:
        ModelError: the sizes do not fit together.
    """
    pieces, config = theirs.vocabularies[side], theirs.config
    size = config["vocab_size"] if side == "source" or theirs.shared else config.get("decoder_vocab_size")
    problems = [] if size == len(pieces) else [f"{len(pieces):,} {side} pieces, but {size!r} ids in {CONFIG}"]
    pad, eos = config.get("pad_token_id"), config.get("eos_token_id")
    start = config.get("decoder_start_token_id") if side == "target" or theirs.shared else pad
    for name, number in (("pad_token_id", pad), ("eos_token_id", eos), ("decoder_start_token_id", start)):
        if not _is_int(number) or not 0 <= number < len(pieces):
            problems.append(f"`{name}` is {number!r}, not one of {len(pieces):,} ids")
    if problems:
        raise unfit(theirs.folder / CONFIG, problems)
    assert isinstance(pad, int) and isinstance(start, int) and isinstance(eos, int)
    return numbered(len(pieces), (pad, pieces[UNKNOWN], start, eos))


def unfit(path: Path, problems: Sequence[str]) -> ModelError:
    """The error for what our model cannot be."""
    shown = [*problems[:SHOWN], *([f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])]
    return ModelError(
        "; ".join(shown),
        where=str(path),
        expected="a MarianMTModel: post-norm, sinusoidal positions, both sides alike",
        advice="Translate with transformers, or train a model of this shape.",
    )
