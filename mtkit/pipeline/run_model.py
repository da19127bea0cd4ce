"""A run's own model folder, `runs/<recipe>/model/`: a stored model with what only the whole recipe knows.

A stored train stage depends on no other stage's settings and is never edited; how the recipe translates and
how that scored stand in the card of this copy. Its other files are hard links into the store.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtkit.config.corpus import CorpusSettings
from mtkit.config.export import ExportSettings
from mtkit.config.recipe import Recipe
from mtkit.config.search import SearchSettings
from mtkit.corpus.licences import licences_of
from mtkit.errors import ModelError, RunError
from mtkit.files import put_back, read_json, replace_folder, sample_lines, user_errors, write_json
from mtkit.model.folder import CARD, TARGET_SCRIPTS, WEIGHTS, ModelCard, read_card
from mtkit.pipeline.decoding import link_or_copy, searches_of, translations
from mtkit.pipeline.runs import MANIFEST, MODEL, STORE, RunFolder, alone_in, fitting, open_run
from mtkit.translation.converted import CONVERTED, is_converted, read_certificate
from mtkit.translation.scripts import written_in

Noted = Mapping[str, Mapping[str, Any]]
SAMPLED_LINES = 2000  # looked at for the scripts of a corpus: a tenth of its lines is not missed among them


def write_model(run: RunFolder, recipe: Recipe) -> None:
    """Bring a run's model folder up to date, whole or not at all; without a trained model there is none.

    Nothing is written where nothing changed, or where a stage bears the folder's name.

    Raises:
        RunError: something else stands in its place, or the disk is full.
        ModelError: the stored model's card is damaged.
    """
    folder = run.path / MODEL
    if MODEL in recipe.stages:
        return
    check_place(folder)
    with user_errors(folder), alone_in(run):
        put_back(folder)
        for left in run.path.glob(f".{MODEL}.*"):  # of a process that was killed
            _remove(left)
        noted = fitting(run.stages, recipe.stages)
        trained = _chosen(recipe, noted)
        if trained is None:
            _remove(folder)
            return
        stored = run.path.parent / STORE / noted[trained]["folder"] / "model"
        if (stored / CARD).is_file():
            card = _card(stored, trained, run, recipe, noted)
            converted = _exported(trained, run, recipe, noted) or _converted_by_hand(folder, card)
            _renew(folder, stored, converted, card)


def corpus_behind(model: Path) -> Path | None:
    """The folder of the corpus that a run's own model folder was trained on, or None.

    Args:
        model: a model folder; of a run if a manifest lies beside it.
    """
    model = model.resolve()  # of `.`, no parent could be told
    if not (model.parent / MANIFEST).is_file():
        return None
    run = open_run(model.parent.parent, model.parent.name)
    weights = read_card(model).files.get(WEIGHTS)
    for noted in run.stages.values():
        stored = run.path.parent / STORE / noted["folder"] / "model"
        if noted["kind"] != "train" or not (stored / CARD).is_file():
            continue
        corpus = run.stages.get(noted["reads"]["corpus"])
        if corpus is not None and read_card(stored).files.get(WEIGHTS) == weights:
            folder = run.path.parent / STORE / corpus["folder"]
            return folder if folder.is_dir() else None
    return None


def check_place(folder: Path) -> None:
    """Make sure that a model folder may be written here.

    Raises:
        RunError: something stands here that mtkit did not put here.
    """
    if os.path.lexists(folder) and not folder.is_symlink() and not (folder / CARD).is_file():
        raise RunError(
            "this is not a model folder",
            where=str(folder),
            expected="nothing, or the model folder of an earlier run",
            advice="Move it away; mtkit keeps this place for the run's model.",
        )


def _chosen(recipe: Recipe, noted: Noted) -> str | None:
    """The trained stage whose model is the recipe's: the one translated with last, else the last one."""
    trained = [name for name, stage in recipe.stages.items() if stage.kind.name == "train" and name in noted]
    translated = [stage.reads["train"] for stage in translations(recipe) if stage.reads["train"] in trained]
    return [*trained, *translated][-1] if trained else None


def _card(stored: Path, trained: str, run: RunFolder, recipe: Recipe, noted: Noted) -> ModelCard:
    """The stored model's card with the recipe's search settings, and how these scored."""
    card = read_card(stored)
    searches = searches_of(recipe, trained)
    decoding = next(iter(searches.values()), card.decoding)
    provenance = {**card.provenance, "recipe": recipe.name, "about": recipe.about}
    corpus = recipe.stages[recipe.stages[trained].reads["corpus"]].settings
    if isinstance(corpus, CorpusSettings):  # a licence may have been corrected since
        provenance["data"] = licences_of(corpus, recipe.folder)
    done = {name for name in searches if _searched_with(decoding, noted.get(name))}
    scores = [
        {"stage": stage.name, **score}
        for stage in recipe.stages.values()
        if stage.kind.name == "score" and stage.name in noted and stage.reads["translate"] in done
        for score in _scores(run.path.parent / STORE / noted[stage.name]["folder"])
    ]
    if scores:
        provenance["scores"] = scores
    if scripts := _target_scripts(trained, card.target_language, run, noted):
        provenance[TARGET_SCRIPTS] = scripts
    return card.model_copy(update={"decoding": decoding, "provenance": provenance})


def _target_scripts(trained: str, language: str, run: RunFolder, noted: Noted) -> list[str]:
    """The scripts of the target side that a model was trained on, as a sample of its lines shows them."""
    corpus = noted.get(noted[trained]["reads"]["corpus"])
    path = run.path.parent / STORE / corpus["folder"] / "train.target" if corpus else None
    if path is None or not path.is_file():
        return []
    return written_in(sample_lines(path, SAMPLED_LINES), language)


def _searched_with(decoding: SearchSettings, noted: Mapping[str, Any] | None) -> bool:
    """True if a translate stage was made with these settings, whatever the recipe says by now."""
    return noted is not None and decoding.model_dump(mode="json").items() <= noted["settings"].items()


def _scores(folder: Path) -> Iterator[dict[str, Any]]:
    yield from read_json(folder / "scores.json", error=RunError)


def _exported(trained: str, run: RunFolder, recipe: Recipe, noted: Noted) -> Path | None:
    """The converted model of the recipe's last export stage of this training to CTranslate2, or None."""
    names = [
        stage.name
        for stage in recipe.stages.values()
        if isinstance(stage.settings, ExportSettings) and stage.settings.to == "ctranslate2"
        if stage.name in noted and stage.reads["train"] == trained
    ]
    folders = [run.path.parent / STORE / noted[name]["folder"] / CONVERTED for name in names[-1:]]
    return next((folder for folder in folders if folder.is_dir()), None)  # or it was removed from the store


def _converted_by_hand(folder: Path, card: ModelCard) -> Path | None:
    """What `mtkit export` put into the folder, as long as it is of the same weights; else None."""
    if folder.is_symlink() or not is_converted(folder):
        return None
    try:
        same = read_certificate(folder).weights == card.files.get(WEIGHTS)
    except ModelError:
        return None
    return folder / CONVERTED if same else None


def _renew(folder: Path, stored: Path, converted: Path | None, card: ModelCard) -> None:
    """Put the folder there, unless it is there already."""
    files = sorted(path for path in stored.rglob("*") if path.is_file() and path != stored / CARD)
    places = {path: path.relative_to(stored) for path in files}
    if converted is not None:
        places |= {path: Path(CONVERTED) / path.name for path in sorted(converted.iterdir())}
    if _has(folder, card) and all(_is_same(path, folder / place) for path, place in places.items()):
        return
    fresh = Path(tempfile.mkdtemp(prefix=f".{MODEL}.", suffix=".new", dir=folder.parent))
    try:
        for path, place in places.items():
            (fresh / place).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, fresh / place)
        write_json(fresh / CARD, card.written())
        fresh.chmod(0o755)
        replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _has(folder: Path, card: ModelCard) -> bool:
    """True if a folder, not a link, holds this very card."""
    try:
        return not folder.is_symlink() and read_card(folder) == card
    except ModelError:
        return False


def _is_same(path: Path, copy: Path) -> bool:
    """True for a hard link, and for a copy made here: those have the same size and time."""
    if not copy.is_file():
        return False
    one, other = path.stat(), copy.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
