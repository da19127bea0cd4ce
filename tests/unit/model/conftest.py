import pytest


@pytest.fixture(autouse=True)
def seeded(one_seed: None) -> None:
    pass
