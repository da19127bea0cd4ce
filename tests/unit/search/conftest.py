from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(20260101)
    yield
    torch.set_num_threads(threads)
