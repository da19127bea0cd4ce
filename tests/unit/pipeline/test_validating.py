import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE
from mtkit.pipeline.validating import validator
from mtkit.search import beam
from mtkit.subword.codec import Subword
from mtkit.translation.translator import BATCH_TOKENS


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


def test_a_translation_that_does_not_fit_is_made_in_smaller_batches_from_then_on(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"target_language": "xx", "normalize": "nfc"}
    validate = validator(settings(by="chrf"), facts, {"corpus": toy / "corpus", "subword": toy / "subword"},
                         RunContext())  # fmt: skip
    assert validate is not None
    torch.manual_seed(1)
    size = Subword.load(toy / "subword").size("source")
    shape = ModelSettings(dim=8, ffn_dim=8, heads=2, encoder_layers=1, decoder_layers=1)
    model = Transformer(shape, size, size)
    whole = validate(model, ALONE)
    search_batch = beam.search_batch

    def limited(model: Transformer, sources: list[list[int]], asked: SearchSettings, *rest: Any) -> Any:
        if len(sources) > 4:
            raise torch.OutOfMemoryError("made up")
        return search_batch(model, sources, asked, *rest)

    monkeypatch.setattr(beam, "search_batch", limited)
    found, again = validate(model, ALONE), validate(model, ALONE)
    assert (whole.smaller_batches, again.smaller_batches) == (None, None)
    assert found.smaller_batches is not None
    assert found.smaller_batches < BATCH_TOKENS
    assert found.samples == whole.samples == again.samples

    def never(model: Transformer, sources: list[list[int]], asked: SearchSettings, *rest: Any) -> Any:
        raise torch.OutOfMemoryError("made up")

    monkeypatch.setattr(beam, "search_batch", never)
    with pytest.raises(RunError, match="one sentence of the validation set"):
        validate(model, ALONE)


def test_where_only_the_loss_counts_nothing_is_translated() -> None:
    facts = {"target_language": "ja", "normalize": "nfc"}
    assert validator(settings(by="loss", samples=0), facts, {}, RunContext()) is None
