"""What CTranslate2 can compute here, and how a converted model is loaded.

The only door to the package in this room.
"""

from pathlib import Path
from typing import Any

import ctranslate2

from mtkit.errors import ModelError, RunError
from mtkit.files import read_json
from mtkit.model.folder import ModelCard
from mtkit.subword.vocabulary import SIDES
from mtkit.translation.converted import CONVERTED, Certificate, check_converted

CPU = "cpu"
VERSION: str = ctranslate2.__version__


def graphics_cards() -> int:
    """How many GPUs CTranslate2 sees."""
    return int(ctranslate2.get_cuda_device_count())


def uncomputable(quantization: str) -> str | None:
    """Why this CPU cannot compute in what a model was rounded to, or None."""
    known = sorted(ctranslate2.get_supported_compute_types(CPU))
    if quantization in known:
        return None
    return f"this CPU does not compute in {quantization}; it does in {', '.join(known)}"


def open_converted(folder: Path, quantization: str, replicas: int, threads: int = 1) -> Any:
    """Load a folder that CTranslate2 can read, without asking whether it is whole.

    Args:
        folder: the converted model.
        quantization: what it was rounded to.
        replicas: batches that are searched side by side.
        threads: of each.

    Raises:
        ModelError: it cannot be loaded.
        RunError: this CPU cannot compute in what it was rounded to.
    """
    if reason := uncomputable(quantization):
        raise RunError(
            reason,
            where=str(folder),
            expected="a `--quantization` that this CPU knows",
            advice="Export the model with another quantization, or translate with `--engine torch`.",
        )
    try:
        return ctranslate2.Translator(
            str(folder),
            device=CPU,
            compute_type=quantization,
            inter_threads=replicas,
            intra_threads=threads,
            max_queued_batches=-1,  # whoever begins batches does not wait
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"CTranslate2 cannot load the converted model: {error}",
            where=str(folder),
            expected=f"a model that CTranslate2 {VERSION} understands",
            advice="Export the model again, or translate with `--engine torch`.",
        ) from error


def open_again(folder: Path, card: ModelCard, certificate: Certificate, replicas: int, threads: int) -> Any:
    """Load the converted model of a model folder once more, as long as it is the same.

    Args:
        folder: the model folder.
        card: its card.
        certificate: of what was loaded.
        replicas: batches that are searched side by side.
        threads: of each.

    Raises:
        ModelError: it is another now, or gone.
    """
    opened = open_converted(folder / CONVERTED, certificate.quantization, replicas, threads)
    if check_converted(folder, card).files != certificate.files:
        raise ModelError(
            "the model was exported anew while it was translating",
            where=str(folder / CONVERTED),
            expected="the files that were loaded",
            advice="Start again to translate with the new ones.",
        )
    return opened


def read_pieces(folder: Path) -> tuple[list[str], list[str]]:
    """Source and target vocabulary of a converted model, by id."""
    shared = folder / "shared_vocabulary.json"
    paths = [shared if shared.is_file() else folder / f"{side}_vocabulary.json" for side in SIDES]
    source, target = (read_json(path, error=ModelError) for path in paths)
    return source, target
