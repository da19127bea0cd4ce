from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.training.checkpoint import Checkpoints
from mtkit.training.comparing import Compared, compare
from mtkit.training.state import TrainState
from mtkit.training.trace import add_note


def note(update: int, **changes: Any) -> dict[str, Any]:
    plain = {"update": update, "rows": [update, update + 10], "target_tokens": 9}
    return {**plain, "nats": (3.5 / update).hex(), "gradient_norm": (1.5).hex(), **changes}


def training(folder: Path, notes: list[dict[str, Any]], **changes: Any) -> tuple[Path, Path]:
    tensors = {
        "model/weight": torch.arange(6.0).reshape(2, 3),
        "optimizer/weight/exp_avg": torch.ones(2, 3),
        "optimizer/weight/step": torch.tensor(3.0),
        **changes.pop("tensors", {}),
    }
    state = TrainState(update=3, seconds=len(str(folder)) * 0.1, **changes)
    Checkpoints(folder, {"seed": 1}, print).save(state, tensors)
    for one in notes:
        add_note(folder / "trace", one)
    return folder, folder / "trace"


def compared(tmp_path: Path, notes: list[dict[str, Any]], **changes: Any) -> dict[str, Compared]:
    whole = training(tmp_path / "whole", [note(1), note(2), note(3)])
    other = training(tmp_path / "a longer name", notes, **changes)
    return {item.what: item for item in compare(*whole, *other)}


def differences(found: dict[str, Compared]) -> dict[str, str]:
    return {what: item.difference for what, item in found.items() if item.difference}


def test_the_same_training_is_the_same_whatever_time_it_took_and_whatever_was_made_again(
    tmp_path: Path,
) -> None:
    found = compared(tmp_path, [note(1), note(2), note(2), note(3)], in_pieces=2)
    assert differences(found) == {}
    assert list(found) == ["order of data", "losses and gradients", "weights", "optimiser", "state"]
    assert found["order of data"].extent == "3 updates, 1 of them made again"
    assert found["optimiser"].extent == "2 tensors"
    assert all(item.whole == item.resumed for item in found.values())


@pytest.mark.parametrize(
    ("notes", "what", "told"),
    [
        (
            [note(1), note(2, rows=[2, 40]), note(2), note(3)],
            "order of data",
            "update 2: line 13 of the training pairs is missing and line 41 of the training pairs is new",
        ),
        ([note(1), note(2, target_tokens=8), note(3)], "order of data", "update 2: target_tokens 9 and 8"),
        ([note(1), note(3)], "order of data", "update 2 was never made"),
        (
            [note(1), note(2), note(3), note(4)],
            "order of data",
            "update 4 was made in the resumed training alone",
        ),
        (
            [note(1), note(2), note(3, gradient_norm=(1.25).hex())],
            "losses and gradients",
            "update 3: gradient_norm 1.5 and 1.25",
        ),
    ],
)
def test_the_first_update_that_differs_is_named(
    tmp_path: Path, notes: list[dict[str, Any]], what: str, told: str
) -> None:
    assert differences(compared(tmp_path, notes))[what] == told


def test_the_first_tensor_that_differs_is_named_with_how_far(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    weight[1, 2] += 0.25
    found = compared(tmp_path, [note(1), note(2), note(3)], tensors={"model/weight": weight})
    assert differences(found) == {"weights": "weight: 1 of 6 values, by up to 0.25"}
    assert found["weights"].whole != found["weights"].resumed


def test_a_zero_of_another_sign_is_another_bit(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    weight[0, 0] = -0.0
    found = compared(tmp_path, [note(1), note(2), note(3)], tensors={"model/weight": weight})
    assert differences(found) == {"weights": "weight: 0 of 6 values, by up to 0"}


def test_a_tensor_that_only_one_has_is_named(tmp_path: Path) -> None:
    found = compared(tmp_path, [note(1), note(2), note(3)], tensors={"average/weight": torch.ones(1)})
    assert differences(found) == {"exponential average": "weight is in the resumed training alone"}


def test_the_first_value_of_the_state_that_differs_is_named(tmp_path: Path) -> None:
    found = compared(tmp_path, [note(1), note(2), note(3)], batch=4, epoch=2)
    assert differences(found) == {"state": "epoch: 0 and 2"}
