import pytest
import torch
from torch import nn

from mtkit.model.evaluating import evaluating


@pytest.mark.parametrize("was_training", [True, False])
def test_the_model_is_used_without_dropout_and_left_as_it_was(was_training: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9)).train(was_training)
    with evaluating(model):
        assert not model[1].training
        assert not model(torch.ones(1, 3)).requires_grad
    assert model.training is was_training
    assert model[1].training is was_training


def test_the_mode_comes_back_after_an_error() -> None:
    model = nn.Dropout().train()
    with pytest.raises(RuntimeError, match="stop"), evaluating(model):
        raise RuntimeError("stop")
    assert model.training
    assert torch.is_grad_enabled()
