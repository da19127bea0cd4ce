from collections.abc import Callable
from pathlib import Path

from mtkit.export.probe import NASTY
from mtkit.files import read_json, read_lines, shipped

SHORT = (
    "stages.train.until.updates=3",
    "stages.train.schedule.warmup_updates=2",
    "stages.train.validate={every: 3 updates, by: loss, samples: 0}",
    "stages.train.max_tokens=64",
    "stages.translate={beam_size: 2, max_length_extra: 1}",
    "stages.export={quantization: float32, probe_lines: 10}",
)


def test_real_sentences_go_from_the_shipped_dataset_to_scores_and_are_stored(
    here: Callable[..., str], tmp_path: Path
) -> None:
    command = ["run", "starter", *(part for setting in SHORT for part in ("--set", setting))]
    here(*command)
    run = tmp_path / "runs/starter"
    test = list(read_lines(shipped("data") / "starter/test.en"))
    assert list(read_lines(run / "translate/reference")) == test
    assert len(list(read_lines(run / "translate/hypotheses"))) == len(test)
    certificate = read_json(run / "model/ctranslate2/certificate.json")
    assert certificate["alike"] + len(certificate["differences"]) == 2 * 10 + len(NASTY)
    assert {score["sentences"] for score in read_json(run / "score/scores.json")} == {len(test)}
    assert [line.split()[1] for line in here(*command, "--dry-run").splitlines()] == ["stored"] * 6
