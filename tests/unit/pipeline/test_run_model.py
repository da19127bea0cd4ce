import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.errors import RunError
from mtkit.files import read_json, sha256, write_json, write_text
from mtkit.model.folder import ModelCard, check_folder, write_card
from mtkit.pipeline import run_model
from mtkit.pipeline.fingerprint import result_settings
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.run_model import write_model
from mtkit.pipeline.runs import RunFolder, newest_model, open_run

RECIPE = """\
recipe: toy
about: a toy
source: aa
target: bb
stages:
  corpus: {train: text, valid: text, test: text}
  subword: {pieces: 300}
  train: {until: {updates: 1000}, schedule: {warmup_updates: 1}}
  student: {like: train, until: {updates: 2000}}
  watch: {kind: translate, from: student, split: valid, beam_size: 1}
  translate: {from: student, beam_size: 3, length_penalty: 1.0}
  score: {metrics: [bleu]}
"""
SCORES = [{"metric": "bleu", "value": 12.5, "signature": "nrefs:1", "split": "test"}]

Run = Callable[..., RunFolder]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_text(tmp_path / "toy.yaml", RECIPE)
    return read_recipe(tmp_path / "toy.yaml", KINDS)


@pytest.fixture
def finish(tmp_path: Path, recipe: Recipe) -> Run:
    """Stores made-up results of all stages but those left out, and notes them in the recipe's run."""

    def make(*left_out: str, name: str = "toy", mark: str = "") -> RunFolder:
        stages: dict[str, dict[str, Any]] = {}
        for stage in recipe.stages.values():
            folder = tmp_path / "store" / f"{stage.kind.name}-{stage.name}{mark}"
            if stage.kind.name == "train" and not folder.exists():
                store_model(folder / "model", stage.name + mark)
            if stage.kind.name == "score":
                write_json(folder / "scores.json", SCORES)
            if stage.name not in left_out:
                stages[stage.name] = {
                    "kind": stage.kind.name,
                    "settings": result_settings(stage.settings),
                    "fingerprint": stage.name + mark,
                    "inputs": {role: reads + mark for role, reads in stage.reads.items()},
                    "reads": dict(stage.reads),
                    "folder": folder.name,
                    "finished": "2026-01-01T00:00:00+00:00",
                }
        write_json(tmp_path / name / "manifest.json", {"stages": stages, "finished": f"2026-{name}"})
        return open_run(tmp_path, name)

    return make


def store_model(folder: Path, weights: str) -> None:
    """A model folder with a text for weights."""
    write_text(folder / "model.safetensors", weights)
    write_text(folder / "subword/shared.model", "pieces")
    shape = ModelSettings()
    card = ModelCard(
        architecture=shape, source_language="aa", target_language="bb", normalize="nfc", source_size=5,
        target_size=5, provenance={"recipe": "older", "training": {"updates": 100}},
    )  # fmt: skip
    write_card(folder, card)


def test_the_card_has_the_scripts_of_the_text_that_was_trained_on(
    finish: Run, recipe: Recipe, tmp_path: Path
) -> None:
    run = finish()
    write_text(tmp_path / "store/corpus-corpus/train.target", "свет\nОткрыть всё в Firefox\n" * 50)
    write_model(run, recipe)
    assert check_folder(run.path / "model").target_scripts == {"CYRILLIC"}


def test_the_card_has_the_search_of_the_test_split_and_its_scores(finish: Run, recipe: Recipe) -> None:
    run = finish()
    write_model(run, recipe)
    card = check_folder(run.path / "model")
    assert (run.path / "model/model.safetensors").read_text() == "student"  # not its teacher
    assert (card.decoding.beam_size, card.decoding.length_penalty) == (3, 1.0)
    assert card.provenance == {
        "recipe": "toy",
        "about": "a toy",
        "data": [],
        "training": {"updates": 100},
        "scores": [{"stage": "score", **SCORES[0]}],
    }
    stored = run.path.parent / "store/train-student/model"
    assert (run.path / "model/subword/shared.model").samefile(stored / "subword/shared.model")
    assert check_folder(stored).provenance["recipe"] == "older"


def test_before_it_is_translated_with_a_model_has_the_recipes_search_and_no_scores(
    finish: Run, recipe: Recipe
) -> None:
    run = finish("watch", "translate", "score")
    write_model(run, recipe)
    card = check_folder(run.path / "model")
    assert card.decoding.beam_size == 3
    assert "scores" not in card.provenance


def test_scores_of_another_search_are_not_claimed(finish: Run, recipe: Recipe, tmp_path: Path) -> None:
    run = finish()
    changed = read_recipe(tmp_path / "toy.yaml", KINDS, ["stages.translate.beam_size=4"])
    write_model(run, changed)
    card = check_folder(run.path / "model")
    assert card.decoding.beam_size == 4
    assert "scores" not in card.provenance


def test_a_teacher_alone_is_kept_as_it_was_stored(finish: Run, recipe: Recipe) -> None:
    run = finish("student", "watch", "translate", "score")
    write_model(run, recipe)
    assert (run.path / "model/model.safetensors").read_text() == "train"
    assert check_folder(run.path / "model").decoding.beam_size == 5


@pytest.mark.parametrize("links", [True, False])
def test_what_did_not_change_is_not_written_again(
    finish: Run, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    run = finish()
    write_model(run, recipe)
    weights = run.path / "model/model.safetensors"
    assert (weights.stat().st_nlink > 1) is links
    check_folder(run.path / "model")
    inode = (run.path / "model").stat().st_ino
    write_model(run, recipe)
    assert (run.path / "model").stat().st_ino == inode


def test_a_later_run_replaces_the_folder_whole(finish: Run, recipe: Recipe) -> None:
    run = finish()
    run.path.joinpath("model").symlink_to("train/model")  # as older versions left it
    write_model(run, recipe)
    write_text(run.path / "model/mine", "")
    write_text(run.path / ".model.xyz.new/model.json", "half")
    write_model(finish(mark="2"), recipe)
    assert (run.path / "model/model.safetensors").read_text() == "student2"
    assert not (run.path / "model/mine").exists()
    assert not list(run.path.glob(".model*"))
    assert (run.path.parent / "store/train-student/model/model.safetensors").read_text() == "student"


def test_a_disk_that_fills_up_leaves_the_earlier_model(
    finish: Run, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish()
    write_model(run, recipe)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_model, "write_json", full)
    with pytest.raises(RunError, match="no space left"):
        write_model(finish(mark="2"), recipe)
    check_folder(run.path / "model")
    assert (run.path / "model/model.safetensors").read_text() == "student"
    assert not list(run.path.glob(".model*"))


def test_a_model_that_fits_nothing_any_more_is_taken_away(finish: Run, recipe: Recipe) -> None:
    run = finish()
    write_model(run, recipe)
    write_model(finish("corpus"), recipe)
    assert not (run.path / "model").exists()
    assert check_folder(run.path.parent / "store/train-student/model")


def test_somebody_elses_folder_is_told_and_left_alone(finish: Run, recipe: Recipe) -> None:
    run = finish()
    write_text(run.path / "model/mine", "")
    with pytest.raises(RunError, match="not a model folder"):
        write_model(run, recipe)
    assert (run.path / "model/mine").exists()


def test_of_runs_that_share_a_training_the_newest_models_run_was_last(
    finish: Run, recipe: Recipe, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_model(finish(name=name), recipe)
    assert newest_model(tmp_path) == ("two", tmp_path / "two/model")
    manifest = read_json(tmp_path / "one/manifest.json")
    write_json(tmp_path / "one/manifest.json", {**manifest, "finished": "2027"})
    assert newest_model(tmp_path) == ("one", tmp_path / "one/model")


def put_converted(folder: Path, weights: str, text: str) -> None:
    """What looks like a converted model, as far as this room looks at it."""
    certificate = {
        "mtkit": "0", "ctranslate2": "4", "quantization": "float32", "asked": "float32", "attempts": [],
        "finer": [], "most_bleu_loss": 0.5, "most_chrf_loss": 0.3, "search": {}, "probe": {}, "alike": 0,
        "differences": [], "scores": {}, "max_tokens": None, "weights": weights, "files": {},
    }  # fmt: skip
    write_json(folder / "ctranslate2/certificate.json", certificate)
    write_text(folder / "ctranslate2/model.bin", text)


def test_the_converted_model_of_an_export_stage_is_part_of_the_runs_model(
    finish: Run, recipe: Recipe, tmp_path: Path
) -> None:
    stages = "  export: {from: student}\n  other: {like: export, from: train}\n"
    write_text(tmp_path / "toy.yaml", RECIPE + stages)
    exporting = read_recipe(tmp_path / "toy.yaml", KINDS)
    run = finish()
    weights = sha256(tmp_path / "store/train-student/model/model.safetensors")
    for name in ("export", "other"):
        put_converted(tmp_path / f"store/export-{name}", weights, name)
        stage = exporting.stages[name]
        run.stages[name] = {
            "kind": "export",
            "settings": {},
            "fingerprint": name,
            "inputs": dict(stage.reads),
            "reads": dict(stage.reads),
            "folder": f"export-{name}",
            "finished": "2026-01-01T00:00:00+00:00",
        }
    write_model(run, exporting)
    binary = run.path / "model/ctranslate2/model.bin"
    assert binary.read_text() == "export"  # that of the student, whose model this is
    assert binary.samefile(tmp_path / "store/export-export/ctranslate2/model.bin")
    check_folder(run.path / "model")
    write_model(run, recipe)  # the recipe as it was, without an export: the weights are the same
    assert binary.read_text() == "export"
    (tmp_path / "store/export-export").rename(tmp_path / "gone")  # removed from the store
    write_model(run, exporting)
    assert binary.read_text() == "export"


def test_what_was_exported_by_hand_stays_as_long_as_the_weights_do(
    finish: Run, recipe: Recipe, tmp_path: Path
) -> None:
    run = finish("score")
    write_model(run, recipe)
    model = run.path / "model"
    put_converted(model, check_folder(model).files["model.safetensors"], "by hand")
    write_model(finish(), recipe)  # the card has scores now, so the folder is made anew
    assert "scores" in check_folder(model).provenance
    assert (model / "ctranslate2/model.bin").read_text() == "by hand"
    write_model(finish("student", "watch", "translate", "score"), recipe)
    assert (model / "model.safetensors").read_text() == "train"
    assert not (model / "ctranslate2").exists()
