"""Weights on disk: a model folder is written whole or not at all and loaded strictly. Nothing is a pickle."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mtkit.errors import ModelError
from mtkit.files import atomic, replace_folder, user_errors
from mtkit.model.folder import CARD, WEIGHTS, ModelCard, check_folder, subword_folder, write_card
from mtkit.model.transformer import Transformer
from mtkit.subword.codec import Subword


def save_model(folder: Path, model: Transformer, card: ModelCard, subword: Path) -> None:
    """Write a model folder; one that stands there already is replaced once the new one is complete.

    Args:
        folder: the model folder to be.
        model: its weights are written, each once.
        card: its hashes are filled in here.
        subword: folder of the subword model; its own files are copied, whatever else stands beside them.

    Raises:
        ModelError: the card describes another model, or the subword model is missing or damaged.
        RunError: the disk is full or may not be written.
    """
    _check_same(card, model)
    with user_errors(folder, makes=True):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    try:
        save_weights(fresh / WEIGHTS, model)
        Subword.load(subword).save(subword_folder(fresh))
        write_card(fresh, card)
        with user_errors(folder):
            fresh.chmod(0o755)
            replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_model(folder: Path, device: torch.device | str = "cpu") -> Transformer:
    """The model of a model folder, ready to translate (evaluation mode).

    Raises:
        ModelError: a file is missing or damaged, or the weights are not those of the architecture.
    """
    card = check_folder(folder)
    model = Transformer(card.architecture, card.source_size, card.target_size, output_bias=card.output_bias)
    load_weights(folder / WEIGHTS, model)
    return model.to(device).eval()


def save_weights(path: Path, model: Transformer) -> None:
    """Write the weights as safetensors, in one move."""
    write_tensors(path, {name: weight.detach() for name, weight in model.named_parameters()})


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, in one move.

    Args:
        path: the file to be.
        tensors: by name; each is written, shared or not.
        metadata: what else the file says of itself.
    """
    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as stream:
        stream.write(save(whole, metadata=dict(metadata) if metadata else None))


def load_weights(path: Path, model: Transformer) -> None:
    """Fill `model` with the weights of a file: the same names and shapes, none more, none less.

    Raises:
        ModelError: the file cannot be read, or holds other weights.
    """
    tensors = read_tensors(path)
    weights = dict(model.named_parameters())
    for name in sorted(weights.keys() | tensors.keys()):
        if name not in tensors:
            raise _unfit(path, f"no weight {name!r}")
        if name not in weights:
            raise _unfit(path, f"a weight {name!r}, which the architecture does not have")
        _copy(path, name, weights[name], tensors[name])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with user_errors(path):
            return load_file(path)
    except SafetensorError as error:
        raise _unfit(path, f"not a weights file: {error}") from error


def _copy(path: Path, name: str, weight: Tensor, value: Tensor) -> None:
    if weight.shape != value.shape:
        raise _unfit(path, f"{name!r} of shape {tuple(value.shape)}, wanted {tuple(weight.shape)}")
    with torch.no_grad():
        weight.copy_(value)


def _unfit(path: Path, found: str) -> ModelError:
    return ModelError(
        found,
        where=str(path),
        expected=f"the weights of the architecture in {CARD}",
        advice="Restore the model folder from where it was copied, or train again.",
    )


def _check_same(card: ModelCard, model: Transformer) -> None:
    described = (card.architecture, card.source_size, card.target_size, card.output_bias)
    own = (model.settings, model.source_size, model.target_size, model.output_bias is not None)
    if described != own:
        raise ModelError(
            "the card describes another model than the one to be saved",
            where=CARD,
            expected=f"sizes {model.source_size} and {model.target_size}, and the model's own architecture",
            advice="Make the card from the model's own settings.",
        )
