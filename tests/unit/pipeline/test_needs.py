from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

from mtkit.config.recipe import read_recipe
from mtkit.errors import RunError
from mtkit.files import write_text
from mtkit.log import RunContext
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.runner import run
from mtkit.pipeline.store import Store
from mtkit.training import feasible

RECIPE = """\
recipe: small
about: nothing that is run
source: en
target: ja
seed: 1
stages:
  corpus: {train: text/train, valid: text/train, test: text/train}
  subword: {pieces: 300}
  train: {until: {updates: 20000}, validate: TRAINED}
  translate: TRANSLATED
  score: {metrics: [METRICS]}
"""
EXPORT = "  export: {to: safetensors}\n"
BY_LOSS = "{by: loss, samples: 0}"
MBR = "{sampling: {}, mbr: {utility: bleu}}"


@pytest.mark.parametrize(
    ("trained", "translated", "metrics", "stage"),
    [
        ("{by: bleu}", "{}", "chrf", "train"),
        (BY_LOSS, MBR, "chrf", "translate"),
        (BY_LOSS, "{}", "bleu", "score"),
        (BY_LOSS, "{}", "chrf", None),
        (BY_LOSS, "{}", "chrf", "export"),
    ],
)
def test_a_tokenizer_that_only_the_end_needs_is_missed_at_the_beginning(
    tmp_path: Path, trained: str, translated: str, metrics: str, stage: str | None
) -> None:
    if find_spec("MeCab") is not None:
        pytest.skip("sacreBLEU can cut Japanese here")
    for side in ("en", "ja"):
        write_text(tmp_path / f"text/train.{side}", "a\n")
    text = RECIPE.replace("TRAINED", trained).replace("TRANSLATED", translated).replace("METRICS", metrics)
    write_text(tmp_path / "small.yaml", text + EXPORT * (stage == "export"))
    recipe = read_recipe(tmp_path / "small.yaml", KINDS)
    missed = pytest.raises(RunError, match="needs a tokenizer that is not installed")
    with missed if stage else nullcontext() as caught:
        run(recipe, None, Store(tmp_path / "runs/store"), RunContext(quiet=True), dry_run=True)
    assert caught is None or caught.value.where == f"stages.{stage}"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "device", "found", "where"),
    [
        ("", "cuda:9", "device 'cuda:9'", "stages.student"),
        ("precision: bfloat16", "cpu", "in which this CPU", "stages.student, cpu"),
        ("precision: bfloat16, compile: true", "cpu", "`compile: true`", "stages.student.compile"),
    ],
)
def test_what_the_device_lacks_is_missed_before_the_corpus_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, device: str, found: str, where: str
) -> None:
    monkeypatch.setattr(feasible, "has_bfloat16", lambda _device: "compile" in setting)
    for side in ("en", "ja"):
        write_text(tmp_path / f"text/train.{side}", "a\n")
    text = RECIPE.replace("TRAINED", f"{BY_LOSS}, {setting}" if setting else BY_LOSS)
    text = text.replace("train: {until", "student: {kind: train, until")
    text = text.replace("TRANSLATED", "{from: student}")
    write_text(tmp_path / "small.yaml", text.replace("METRICS", "chrf"))
    recipe = read_recipe(tmp_path / "small.yaml", KINDS)
    with pytest.raises(RunError, match=found) as caught:
        run(recipe, None, Store(tmp_path / "runs/store"), RunContext(device=device, quiet=True))
    assert caught.value.where == where
    assert "stages.train" not in caught.value.advice
    assert not (tmp_path / "runs").exists()
