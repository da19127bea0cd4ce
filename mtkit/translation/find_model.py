"""Which model folder a path means. Light. The newest run's is known to `pipeline/runs.py`."""

from pathlib import Path

from mtkit.errors import ModelError
from mtkit.model.folder import CARD

# a model folder, a stage that wrote one, a run that has one: what a person may name
_INSIDE = (".", "model", "train/model")


def model_folder(path: Path) -> Path:
    """The model folder that a path means: itself, or the one inside a train stage or a run.

    Raises:
        ModelError: there is none.
    """
    for inside in _INSIDE:
        if (path / inside / CARD).is_file():
            return path / inside if inside != "." else path
    raise ModelError(
        "no model here" if path.exists() else "no such folder",
        where=str(path),
        expected=f"a model folder with {CARD}, or a finished run",
        advice="Check the path; `mtkit status` lists the runs here.",
    )
