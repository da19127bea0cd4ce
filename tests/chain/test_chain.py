import gc
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtkit.cli.main import mtkit
from mtkit.files import read_json, read_lines, sha256
from mtkit.log import read_events
from mtkit.model.folder import check_folder

Start = Callable[..., "subprocess.Popen[str]"]
Here = Callable[..., str]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=500)
    return process.returncode, out, err


def train_folder(folder: Path) -> Path:
    (found,) = (folder / "runs/store").glob("train-*")
    return found


def written(folder: Path) -> dict[Path, int]:
    """When each file of the store and of the run's model was written."""
    runs = folder / "runs"
    paths = [*(runs / "store").rglob("*"), runs / "tiny/model", *(runs / "tiny/model").rglob("*")]
    return {path: path.stat().st_mtime_ns for path in paths if ".locks" not in path.parts}


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    """Until the process has made a file."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def updates_of_events(folder: Path, event: str) -> list[int]:
    events = read_events(train_folder(folder) / "events.jsonl")
    return [found["update"] for found in events if found["event"] == event]


def test_a_recipe_goes_from_nothing_to_scores(finished: Path) -> None:
    run = finished / "runs/tiny"
    assert [score["metric"] for score in read_json(run / "score/scores.json")] == ["bleu", "chrf"]
    assert len(list(read_lines(run / "translate/hypotheses"))) == 30
    report = (run / "report.md").read_text()
    headings = ("Scores", "Expectations", "Settings", "Corpus", "Subword", "Training", "Export")
    for heading in (*headings, "Translations"):
        assert f"## {heading}" in report
    assert "1,200" in report
    model = sorted(path.relative_to(run / "model").as_posix() for path in (run / "model").rglob("*.*"))
    converted = [f"ctranslate2/{name}" for name in ("certificate.json", "config.json", "model.bin")]
    assert model == [
        *converted,
        "ctranslate2/shared_vocabulary.json",
        "model.json",
        "model.safetensors",
        "subword/shared.model",
        "subword/subword.json",
    ]
    assert read_json(run / "model/model.json")["provenance"]["recipe"] == "tiny"


LOADED = """
import atexit, sys
heavy = {"torch", "numpy", "polars", "sentencepiece", "sacrebleu", "ctranslate2"}
atexit.register(lambda: print(*sorted(heavy & sys.modules.keys())))
"""


def test_running_again_finds_everything_stored_and_loads_nothing_to_make_it(
    finished: Path, start: Start
) -> None:
    """In less than a second when this was written."""
    before = written(finished)
    _, loaded, said = finish(start("run", "tiny.yaml", folder=finished, before=LOADED))
    assert loaded == "\n"
    assert [line.split() for line in said.splitlines()[:6]] == [
        [name, "stored"] for name in ("corpus", "subword", "train", "export", "translate", "score")
    ]
    assert written(finished) == before


def test_an_edited_key_reruns_exactly_its_dependants(
    finished: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    change = ("run", "tiny.yaml", "--dry-run", "--set")
    assert here(*change, "stages.translate.beam_size=1").splitlines()[2:] == [
        "train      stored",
        "export     to run, because how the recipe translates changed",
        "translate  to run, because stages.translate.beam_size 2 → 1",
        "score      to run, because translate changed",
    ]
    assert here(*change, "stages.translate.batch_tokens=100").count("stored") == 6
    assert here(*change, "stages.train.model.dropout=0.2").splitlines()[1:5] == [
        "subword    stored",
        "train      to run, because stages.train.model.dropout 0.1 → 0.2",
        "export     to run, because train changed",
        "translate  to run, because train changed",
    ]
    assert here(*change, "seed=2").count("seed 1 → 2") == 2  # subword and train


def test_translating_the_test_text_again_gives_the_same_text(
    finished: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    with (finished / "text/test.digits").open("rb") as stream:
        text = stream.read()
    out = CliRunner().invoke(mtkit, ["translate", "--quiet"], input=text)
    assert out.exit_code == 0, out.output
    assert out.stdout == (finished / "runs/tiny/translate/hypotheses").read_text()


def test_the_runs_model_folder_stands_alone_and_knows_how_it_translates_and_scored(
    finished: Path, tmp_path: Path
) -> None:
    run = finished / "runs/tiny"
    assert not (run / "model").is_symlink()
    shutil.move(shutil.copytree(run / "model", tmp_path / "copy"), tmp_path / "moved")
    card, stored = check_folder(tmp_path / "moved"), check_folder(run / "train/model")
    assert (card.decoding.beam_size, stored.decoding.beam_size) == (2, 5)
    scores = [{"stage": "score", **score} for score in read_json(run / "score/scores.json")]
    assert card.provenance == {**stored.provenance, "scores": scores}
    assert all(score["signature"] for score in scores)
    assert card.files == stored.files
    weights = "model/model.safetensors"
    assert (run / weights).samefile(run / "train" / weights)  # no second copy of the weights


def test_the_validation_score_is_the_score_of_the_same_translations(
    finished: Path, here: Here, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, symlinks=True, dirs_exist_ok=True)
    settings = ("stages.translate.split=valid", "stages.translate.beam_size=1", "recipe=valid")
    overrides = [part for setting in settings for part in ("--set", setting)]
    here("run", "tiny.yaml", *overrides, "--set", "stages.score.metrics=[chrf, bleu]")
    scores = {
        score["metric"]: score["value"] for score in read_json(tmp_path / "runs/valid/score/scores.json")
    }
    final = read_json(tmp_path / "runs/valid/train/train.json")["final"]
    assert final["chrf"] > 5  # measured: 10
    assert (final["bleu"], final["chrf"]) == (round(scores["bleu"], 3), round(scores["chrf"], 3))


def test_a_training_killed_interrupted_and_taken_over_has_the_same_weights(
    recipe: Path, start: Start, here: Here
) -> None:
    command = ("train", "tiny.yaml", "--threads", "1", "--set", "stages.train.until.updates=120")
    killed = start(*command, held_at=90)  # the checkpoint of the validation at 40 is whole by then
    wait_for(recipe.parent / "held-90", killed)
    killed.send_signal(signal.SIGKILL)
    finish(killed)
    assert not (recipe.parent / "runs/tiny/train").exists()
    assert "interrupted" in here("status")

    interrupted = start(*command, held_at=100)
    wait_for(recipe.parent / "held-100", interrupted)
    waiting = start(*command)
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if f"process {interrupted.pid} on" in line:
            break
    interrupted.send_signal(signal.SIGINT)
    (recipe.parent / "go-100").touch()
    code, _, said = finish(interrupted)
    assert code == 130, said
    assert "train: stopped; what it had done is kept in" in said
    assert "Traceback" not in said

    code, _, said = finish(waiting)
    assert code == 0, said
    assert "train: goes on" in said
    assert updates_of_events(recipe.parent, "resume")[1:] == [100]
    record = read_json(train_folder(recipe.parent) / "stage.json")
    assert len(record["sessions"]) == 3

    here(*command, "--runs", "whole")
    weights = "tiny/train/model/model.safetensors"
    assert sha256(recipe.parent / "whole" / weights) == sha256(recipe.parent / "runs" / weights)


def test_a_file_in_the_place_of_the_runs_folder_is_told(recipe: Path, start: Start) -> None:
    (recipe.parent / "runs").write_text("no folder")
    code, _, err = finish(start("run", "tiny.yaml"))
    assert code in (1, 2), err
    assert "runs" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [100, 300, 500])
def test_a_full_disk_is_told_and_the_same_command_goes_on(
    recipe: Path, start: Start, here: Here, kilobytes: int
) -> None:
    disk = recipe.parent / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        code, _, said = finish(start("run", "tiny.yaml", "--runs", "disk/runs"))
        assert code == 1, said
        assert "no space left on the device" in said
        assert "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        assert "report: disk/runs/tiny/report.md" in here("run", "tiny.yaml", "--runs", "disk/runs")
    finally:
        gc.collect()  # the ids that this process has trained on are files of that disk, mapped into memory
        subprocess.run(["umount", str(disk)], check=True)
