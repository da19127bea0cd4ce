"""What an export needs of the machine it runs on. Light, so that it is known before anything is trained."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from mtkit.config.export import ExportSettings
from mtkit.errors import RunError
from mtkit.translation.ctranslate2_loading import uncomputable

Elsewhere = Literal["huggingface", "onnx", "safetensors"]
PROGRAMS: Mapping[Elsewhere, tuple[str, ...]] = {  # that read the format; the first two are extras
    "huggingface": ("transformers", "tokenizers"),
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": ("safetensors", "torch"),
}


def check_needs(settings: ExportSettings) -> None:
    """Refuse an export that this machine cannot make, or could not prove.

    Raises:
        RunError: an optional dependency is not installed, or the CPU does not compute so.
    """
    if settings.to == "ctranslate2":
        if reason := uncomputable(settings.quantization):
            raise RunError(
                reason,
                where="quantization",
                expected="one that this CPU knows, so that it can be proved here",
                advice="Choose another, or export on a machine that has it.",
            )
        return
    if absent := [name for name in PROGRAMS[settings.to] if find_spec(name) is None]:
        raise missing(settings.to, f"no {', no '.join(absent)}")


def missing(to: Elsewhere, found: object) -> RunError:
    """The error for an optional dependency that is not installed."""
    return RunError(
        f"this needs {' and '.join(PROGRAMS[to])}, of which something is not installed: {found}",
        where=f"export {to}",
        expected=f"what `mtkit[{to}]` brings",
        advice=f"Install it: `pip install 'mtkit[{to}]'`.",
    )
