"""Which model folder a path means. Light. The newest run's is known to `pipeline/runs.py`."""

from pathlib import Path

from mtkit.errors import ModelError, MtkitError
from mtkit.files import NO_CHARACTER, read_json
from mtkit.model.folder import CARD
from mtkit.translation.converted import CERTIFICATE, CONVERTED

# a model folder, a stage that wrote one, a run that has one: what a person may name
_INSIDE = (".", "model", "train/model")
# whose format an export is in, as its certificate says → what it is called, and what runs it
_ELSEWHERE = {
    "onnx": ("an ONNX export", "onnxruntime"),
    "huggingface": ("a Hugging Face export", "transformers"),
}


def model_folder(path: Path) -> Path:
    """The model folder that a path means: itself, or the one inside a train stage or a run.

    Raises:
        ModelError: there is none; it is the part that CTranslate2 reads, or an export for another program; or
            its path is one that libraries cannot open.
    """
    if NO_CHARACTER.search(str(path)):
        raise ModelError(
            "its path has bytes that are no UTF-8, with which libraries open nothing",
            where=str(path),
            expected="a path in UTF-8",
            advice="Rename the folder, or name it by a link whose path is in UTF-8.",
        )
    if (to := _exported_to(path)) in _ELSEWHERE:
        what, program = _ELSEWHERE[to]
        raise ModelError(
            f"this is {what}, which {program} runs and mtkit does not",
            where=str(path),
            expected="the model folder or the run that was exported",
            advice="Name that one; docs/exporting.md says how a program runs this folder.",
        )
    for inside in _INSIDE:
        if (path / inside / CARD).is_file():
            return path / inside if inside != "." else path
    if path.name == CONVERTED and (path.parent / CARD).is_file():
        raise ModelError(
            "this is the part of a model that CTranslate2 reads",
            where=str(path),
            expected=f"a model folder with {CARD}, or a finished run",
            advice=f"Name {path.parent}.",
        )
    raise ModelError(
        "no model here" if path.exists() else "no such folder",
        where=str(path),
        expected=f"a model folder with {CARD}, or a finished run",
        advice="Check the path; `mtkit status` lists the runs here.",
    )


def _exported_to(path: Path) -> str:
    """Whose format the certificate in a folder is about; empty: there is none that says so."""
    if not (path / CERTIFICATE).is_file():
        return ""
    try:
        found = read_json(path / CERTIFICATE)
    except MtkitError:
        return ""
    return str(found.get("to", "")) if isinstance(found, dict) else ""
