"""What CTranslate2 can compute here, and how a converted model is loaded.

The only door to the package in this room.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import ctranslate2

from mtkit.config.search import SearchSettings
from mtkit.config.settings import Settings
from mtkit.errors import ModelError, RunError
from mtkit.files import read_json
from mtkit.model.folder import ModelCard
from mtkit.subword.vocabulary import SIDES
from mtkit.translation.converted import CONVERTED, Certificate, check_converted

CPU = "cpu"
GPU = re.compile(r"cuda(?::(\d+))?", re.ASCII)
VERSION: str = ctranslate2.__version__
# What has all values of weights that were rounded to another type, which CTranslate2 knows on GPUs alone.
HOLDS_ALL = {"bfloat16": "float32"}
# The settings of search that the engine asks CTranslate2 for, or sees to itself.
KNOWN = frozenset(
    {
        "beam_size",
        "n_best",
        "length_penalty",
        "length_penalty_form",
        "max_length_factor",
        "max_length_extra",
        "no_repeat_ngram",
        "patience",
    }
)


def unsupported(settings: SearchSettings) -> str | None:
    """Why this engine cannot search so, or None: a setting that it does not know is not at its default."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name not in KNOWN and value != field.default:
            from mtkit.config.scalars import flow_text  # which a cold start has no time for

            shown = name if isinstance(value, Settings) else f"{name}: {flow_text(value)}"
            return f"CTranslate2 is not asked for `{shown}`"
    return None


def graphics_cards() -> int:
    """How many GPUs CTranslate2 sees."""
    return int(ctranslate2.get_cuda_device_count())


def gpu_number(device: str) -> int | None:
    """The GPU that the name of a device means, from 0; None: it means none."""
    found = GPU.fullmatch(device)
    return None if found is None else int(found[1] or 0)


def unreachable(device: str) -> str | None:
    """Why CTranslate2 cannot compute on the device of a name, or None."""
    number = gpu_number(device)
    if number is None:
        known = device in ("auto", CPU)
        return None if known else f"device {device!r}: CTranslate2 computes on no such kind of device"
    count = graphics_cards()
    return None if number < count else f"device {device!r}: CTranslate2 sees {count} GPUs here"


def computed_in(quantization: str, device: str = CPU) -> str:
    """What a model is computed in: what it was rounded to, or else what has all its values.

    Args:
        quantization: what weights are rounded to.
        device: `cuda`, `cuda:1`, …; any other name means the CPU.
    """
    return quantization if quantization in _known(device) else HOLDS_ALL.get(quantization, quantization)


def uncomputable(quantization: str, device: str = CPU) -> str | None:
    """Why this machine cannot compute with what a model was rounded to, or None.

    Args:
        quantization: what weights are rounded to.
        device: `cuda`, `cuda:1`, …; any other name means the CPU.
    """
    known = _known(device)
    if computed_in(quantization, device) in known:
        return None
    name = "CPU" if gpu_number(device) is None else "GPU"
    return f"this {name} does not compute in {quantization}; it does in {', '.join(sorted(known))}"


def _known(device: str) -> Collection[str]:
    """The types that a device computes in."""
    number = gpu_number(device)
    kind = CPU if number is None else "cuda"
    return cast(Collection[str], ctranslate2.get_supported_compute_types(kind, number or 0))


def open_converted(
    folder: Path, quantization: str, replicas: int, threads: int = 1, device: str = CPU
) -> Any:
    """Load a folder that CTranslate2 can read, without asking whether it is whole.

    Args:
        folder: the converted model.
        quantization: what it was rounded to, or is to be computed in.
        replicas: batches that are searched side by side.
        threads: of each.
        device: `cuda`, `cuda:1`, …; any other name means the CPU.

    Raises:
        ModelError: it cannot be loaded.
        RunError: this machine cannot compute in what it was rounded to.
    """
    if reason := uncomputable(quantization, device):
        raise RunError(
            reason,
            where=str(folder),
            expected="a `--quantization` that this machine knows",
            advice="Export the model with another quantization, or translate with `--engine torch`.",
        )
    number = gpu_number(device)
    try:
        return ctranslate2.Translator(
            str(folder),
            device=CPU if number is None else "cuda",
            device_index=number or 0,
            compute_type=computed_in(quantization, device),
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
    opened = open_converted(folder / CONVERTED, certificate.compared_in, replicas, threads)
    if check_converted(folder, card).files != certificate.files:
        raise ModelError(
            "the model was exported anew while it was translating",
            where=str(folder / CONVERTED),
            expected="the files that were loaded",
            advice="Start again to translate with the new ones.",
        )
    return opened


def readable(tensor: Any) -> Any:
    """A tensor of CTranslate2's as numpy reads it: in float32, on the CPU."""
    on_cpu = tensor if tensor.device == CPU else tensor.to_device(ctranslate2.Device.cpu)
    return on_cpu.to(ctranslate2.DataType.float32)


def read_pieces(folder: Path) -> tuple[list[str], list[str]]:
    """Source and target vocabulary of a converted model, by id."""
    shared = folder / "shared_vocabulary.json"
    names = ["shared"] if shared.is_file() else SIDES
    read = [read_json(folder / f"{name}_vocabulary.json", error=ModelError) for name in names]
    return read[0], read[-1]
