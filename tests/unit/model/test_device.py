import pytest
import torch

from mtkit.errors import RunError
from mtkit.model.device import find_device


def test_auto_is_a_gpu_or_the_cpu() -> None:
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(RunError, match="auto, cpu, cuda or cuda:N"):
        find_device(name)
