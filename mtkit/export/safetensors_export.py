"""A model folder of its own, which is safetensors already, with a certificate that it is whole."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mtkit.config.export import ExportSettings
from mtkit.export.comparing import plain_beam
from mtkit.export.opened import Opened
from mtkit.export.probe import ProbeLine
from mtkit.export.proof import Proof, fresh_folder, prove, settle
from mtkit.files import user_errors
from mtkit.model.folder import CARD, WEIGHTS


def export_safetensors(
    model_folder: Path,
    out: Path,
    settings: ExportSettings,
    probe: Sequence[ProbeLine],
    *,
    threads: int | None = None,
    say: Callable[[str], None],
) -> Proof:
    """Copy a model folder without what other exports left in it, and prove that the copy translates alike.

    Args:
        model_folder: the model.
        out: the folder to be; written whole or not at all.
        settings: of an export in float32.
        probe: the lines that both translate.
        threads: CPU threads.
        say: hears how large the weights are.

    Raises:
        ModelError: the folder is damaged.
    """
    opened = Opened(model_folder, threads)
    search = plain_beam(opened.card.decoding)
    comparison = opened.comparison(probe, search)
    with fresh_folder(out) as fresh, user_errors(out):
        for name in (CARD, *opened.card.files):
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model_folder / name, fresh / name)
        say(f"safetensors: {WEIGHTS} {(fresh / WEIGHTS).stat().st_size / 1e6:.1f} MB")
        other = comparison.translated(Opened(fresh, threads).engine)
        return settle(fresh, out, prove(settings, opened.card, comparison, other, search))
