"""Which function writes which format. What a format needs is loaded when it is asked for, not before."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mtkit.config.export import ExportSettings, inexpressible
from mtkit.errors import ModelError
from mtkit.export.needs import Elsewhere, missing
from mtkit.export.probe import ProbeLine
from mtkit.export.proof import Proof
from mtkit.model.folder import read_card


class Exporter(Protocol):
    """What writes a model for other programs, with a certificate."""

    def __call__(
        self,
        model_folder: Path,
        out: Path,
        settings: ExportSettings,
        probe: Sequence[ProbeLine],
        *,
        threads: int | None = None,
        say: Callable[[str], None],
    ) -> Proof:
        """As `export_onnx`."""
        ...


def exporter(to: Elsewhere) -> Exporter:
    """What writes a format.

    Raises:
        RunError: an optional dependency is not installed.
    """
    try:
        if to == "onnx":
            from mtkit.export.onnx_export import export_onnx

            return export_onnx
        if to == "huggingface":
            from mtkit.export.huggingface_export import export_huggingface

            return export_huggingface
    except ImportError as error:
        raise missing(to, error) from error
    from mtkit.export.safetensors_export import export_safetensors

    return export_safetensors


def check_writable(settings: ExportSettings, model_folder: Path) -> None:
    """Refuse a model that a format has no words for.

    Raises:
        ModelError: with every reason.
    """
    if reasons := inexpressible(read_card(model_folder).architecture, settings.to):
        raise ModelError(
            "; ".join(reasons),
            where=str(model_folder),
            expected=f"an architecture that {settings.to} has",
            advice="Export it to safetensors, or translate with mtkit.",
        )
