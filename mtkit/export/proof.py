"""The certificate of a model that other programs run: what was compared, and found, or why it is refused.

That of CTranslate2, which mtkit itself runs, is `translation/converted.py`'s.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from mtkit import __version__
from mtkit.config.export import ExportSettings, Quantization
from mtkit.config.rules import Field
from mtkit.config.search import SearchSettings
from mtkit.config.settings import Settings
from mtkit.errors import ModelError, RunError
from mtkit.export.comparing import Comparison, Translated, against_exact, against_loss, losses_of
from mtkit.export.needs import PROGRAMS, Elsewhere
from mtkit.files import put_back, replace_folder, sha256, user_errors, write_json
from mtkit.model.folder import CARD, WEIGHTS, ModelCard
from mtkit.translation.converted import CONVERTED, Difference

CERTIFICATE = "certificate.json"
FORMAT = 1
STAGE = "stage.json"  # which a stored stage has
SHOWN = 5  # differences that an error shows


class Proof(Settings):
    """That an exported model translates like its original: token for token, or within a budget."""

    format: int = Field(default=FORMAT, ge=1, description="version of the certificate's layout")
    mtkit: str = Field(description="version of mtkit that made it")
    to: Elsewhere = Field(description="whose format it is")
    quantization: Quantization = Field(description="what weights were rounded to")
    most_bleu_loss: float = Field(description="BLEU that rounding was allowed to cost")
    most_chrf_loss: float = Field(description="chrF that rounding was allowed to cost")
    versions: dict[str, str] = Field(description="versions of the programs that were compared")
    search: SearchSettings = Field(description="how the probe lines were translated")
    probe: dict[str, int] = Field(description="how many lines, by where they come from")
    alike: int = Field(description="lines translated alike, token for token")
    differences: list[Difference] = Field(description="lines translated differently, each with its excuse")
    largest_gap: float = Field(description="nats by which both differ about the same translation, at most")
    scores: dict[str, dict[str, Any]] = Field(
        description="metric → torch, converted and signature, on the lines with references"
    )
    weights: str = Field(description="SHA-256 of the weights that were exported")
    files: dict[str, str] = Field(description="SHA-256 of each file beside this one")
    remarks: dict[str, Any] = Field(default_factory=dict, description="what else was found")

    def line(self) -> str:
        """It in one line for people."""
        alike = f"{self.alike:,} of {sum(self.probe.values()):,} probe lines alike, token for token"
        facts = [f"{self.quantization}: {alike}"]
        if ties := sum(one.because == "tie" for one in self.differences):
            facts.append(f"{ties:,} too close to tell")
        facts += [
            f"{name} {found['converted']:.2f} (torch {found['torch']:.2f})"
            for name, found in self.scores.items()
        ]
        return " · ".join(facts)


def prove(
    settings: ExportSettings,
    card: ModelCard,
    comparison: Comparison,
    other: Translated,
    search: SearchSettings,
) -> Proof:
    """Compare what an exported model makes of the probe with what torch makes of it.

    Args:
        settings: whose format it is, and what rounding may cost.
        card: of the model that was exported.
        comparison: the probe, translated by torch.
        other: translated by the exported model.
        search: how both searched.

    Raises:
        ModelError: they do not translate alike; with the lines.
    """
    exact = settings.quantization == "float32"
    differences = comparison.differences(other, exact=exact)
    gap = comparison.largest_gap(other)
    lines = len(comparison.lines)
    scores = comparison.scores(other)
    losses = losses_of(scores)
    against = against_exact(differences, lines, gap) if exact else against_loss(losses, settings)
    if against:
        raise _refused(settings, against, differences)
    assert settings.to != "ctranslate2", "which has a certificate of its own"
    return Proof(
        mtkit=__version__,
        to=settings.to,
        quantization=settings.quantization,
        most_bleu_loss=settings.most_bleu_loss,
        most_chrf_loss=settings.most_chrf_loss,
        versions={name: _version(name) for name in PROGRAMS[settings.to]},
        search=search,
        probe=dict(Counter(line.origin for line in comparison.lines)),
        alike=lines - len(differences),
        differences=differences,
        largest_gap=round(gap, 6),
        scores=scores,
        weights=card.files[WEIGHTS],
        files={},
    )


def _version(package: str) -> str:
    """Of an installed package, which may be installed by another name (onnxruntime-gpu)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(import_module(package), "__version__", "unknown"))


def settle(fresh: Path, out: Path, proof: Proof) -> Proof:
    """Write the certificate into a folder that is ready, and put the folder in its place."""
    files = sorted(path for path in fresh.rglob("*") if path.is_file())
    hashes = {path.relative_to(fresh).as_posix(): sha256(path) for path in files}
    proof = proof.model_copy(update={"files": hashes})
    values = proof.model_dump(mode="json")
    write_json(fresh / CERTIFICATE, values | {"search": proof.search.written()})
    with user_errors(out):
        fresh.chmod(0o755)
        replace_folder(fresh, out)
    return proof


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder beside the one to be, gone when the block ends unless it was put in its place.

    What stepped aside for one that was killed before it took the place is put back.
    """
    with user_errors(out, makes=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        put_back(out)
        fresh = Path(mkdtemp(prefix=f".{out.name}.", suffix=".new", dir=out.parent))
    try:
        yield fresh
    finally:
        rmtree(fresh, ignore_errors=True)


def check_place(out: Path, model: Path) -> None:
    """Make sure that an export may be written here.

    Args:
        out: where.
        model: the model folder that is exported.

    Raises:
        RunError: something stands here that no export of ours is; or it is the model itself, or holds it;
            or it is part of a stored stage, or of what mtkit translates with; or nothing can be written here.
    """
    place, own = out.resolve(), model.resolve()
    against = ""
    if place in (own, *own.parents):
        against = "the model that is exported lies here"
    elif any((folder / STAGE).is_file() for folder in place.parents):
        against = "this is part of a stored stage, which is never changed"
    elif place.name == CONVERTED and (place.parent / CARD).is_file():
        against = "what CTranslate2 reads of a model lies here"
    elif is_immovable(place):
        against = "this folder cannot be put in its place in one move"
    if against:
        raise RunError(
            against,
            where=str(out),
            expected="a folder of its own, which the export makes",
            advice="Name another folder.",
        )
    if is_taken(out, CERTIFICATE):
        raise RunError(
            "something stands here",
            where=str(out),
            expected="no such folder, an empty one, or an earlier export",
            advice="Name another folder, or move this one away.",
        )
    check_takes_files(out)


def is_immovable(folder: Path) -> bool:
    """True for the present folder and for a mount point, which cannot be replaced in one move."""
    return folder.resolve() == Path.cwd() or os.path.ismount(folder)


def is_taken(out: Path, mark: str) -> bool:
    """True if something stands here: no empty folder, and none with the file that marks what we wrote.

    Raises:
        RunError: one cannot look into it.
    """
    if not out.exists() or (out / mark).is_file():
        return False
    with user_errors(out):
        return not out.is_dir() or any(out.iterdir())


def check_takes_files(out: Path) -> None:
    """Make sure, before the work, that a folder can be made here; nothing of it stays.

    Raises:
        RunError: it cannot, and why.
    """
    with user_errors(out, makes=True):
        there = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
        Path(mkdtemp(prefix=f".{out.name}.", suffix=".new", dir=there)).rmdir()


def _refused(settings: ExportSettings, against: str, differences: Sequence[Difference]) -> ModelError:
    shown = [one for one in differences if not one.because] or differences
    lines = "".join(
        f"\n    line {one.line}: {one.source[:60]!r}"
        f"\n        torch    {one.torch[:60]!r}\n        exported {one.converted[:60]!r}"
        for one in shown[:SHOWN]
    )
    return ModelError(
        f"the exported model does not translate like its original: {against}{lines}",
        where=f"export {settings.to}",
        expected="the same translations, token for token"
        if settings.quantization == "float32"
        else "a loss within the budget",
        advice="Nothing was kept; report this with the lines above."
        if settings.quantization == "float32"
        else "Choose float32, or allow more loss; nothing was kept.",
    )
