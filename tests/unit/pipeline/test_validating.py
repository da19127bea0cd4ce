import sys
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.pipeline.validating import validator


def settings(**validate: Any) -> TrainSettings:
    return TrainSettings.model_validate({"until": {"updates": 10_000}, "validate": validate})


def test_a_language_that_cannot_be_scored_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("source", "target"):
        write_lines(tmp_path / f"valid.{side}", ["a"])
    monkeypatch.setitem(sys.modules, "MeCab", None)
    facts = {"target_language": "ja", "normalize": "nfc"}
    with pytest.raises(RunError, match="BLEU of text in 'ja' needs a tokenizer"):
        validator(settings(by="bleu"), facts, {"corpus": tmp_path, "subword": tmp_path}, RunContext())


def test_where_only_the_loss_counts_nothing_is_translated() -> None:
    facts = {"target_language": "ja", "normalize": "nfc"}
    assert validator(settings(by="loss", samples=0), facts, {}, RunContext()) is None
