from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.batches.stream import WHOLE, Share
from mtkit.config.training import FixedTrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training.shortage import (
    enough_for_step,
    enough_for_training,
    last_checkpoint_said,
)


def settings(**changes: Any) -> FixedTrainSettings:
    return FixedTrainSettings.model_validate({"until": {"updates": 9000}, **changes})


def step(model: Transformer, share: Share = WHOLE, **changes: Any) -> RunError:
    with (
        pytest.raises(RunError) as caught,
        enough_for_step(settings(**changes), model, 7, share, lambda: "It is kept."),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    return caught.value


def test_a_step_without_memory_says_that_the_batch_does_not_count_and_what_does(model: Transformer) -> None:
    told = step(model)
    weights = 4 * sum(weight.numel() for weight in model.parameters())
    assert f"what AdamW remembers of them take {4 * weights / 1e6:.0f} MB of each process" in told.found
    assert told.where == "update 7, the optimiser's step on cpu"
    assert told.advice.startswith("Smaller batches do not help here. Set `optimizer: {kind: muon}`")
    assert "shard: true` with several processes" in told.advice
    assert told.advice.endswith("It is kept.")


def test_advice_names_what_is_set_and_not_what_is_done_already(model: Transformer) -> None:
    told = step(model, Share(1, 2), optimizer={"kind": "muon"}, shard=True)
    assert told.where.startswith("update 7, rank 1, ")
    assert "Muon remembers" in told.found
    assert "kind: adamw" not in told.advice  # on a CPU its step takes no room either
    assert "shard" not in told.advice
    assert "Remove `ema_decay`" in step(model, ema_decay=0.9).advice


def test_the_last_good_checkpoint_is_named(tmp_path: Path) -> None:
    assert "There is no checkpoint yet" in last_checkpoint_said(None, tmp_path, WHOLE)
    assert f"is {tmp_path / '5'}; the same command" in last_checkpoint_said(tmp_path / "5", tmp_path, WHOLE)
    assert f"in {tmp_path} stays" in last_checkpoint_said(None, tmp_path, Share(1, 2))


def test_anything_else_says_how_much_was_asked_for() -> None:
    with (
        pytest.raises(RunError, match=r"the memory is full: \d+ bytes more were asked for") as caught,
        enough_for_training(torch.device("cpu")),
    ):
        torch.empty(1 << 60)
    assert caught.value.where == "cpu"
    with pytest.raises(RuntimeError, match="shapes"), enough_for_training(torch.device("cpu")):
        raise RuntimeError("shapes do not fit")
