import pytest
import torch

from mtkit.batches.randomness import raw
from mtkit.config.search import Sampling, SearchSettings
from mtkit.search import sampling
from mtkit.search.sampling import FIRST_NUMBERS, Samples, uniforms


def test_random_numbers_are_made_as_they_are_needed_however_long_a_sample_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def counted(count: int, *key: int) -> object:
        made.append(count)
        return raw(count, *key)

    monkeypatch.setattr(sampling, "raw", counted)
    settings = SearchSettings(sampling=Sampling(seed=3), n_best=2)
    sources, steps = [[4, 5], [6], [7]], FIRST_NUMBERS + 5
    samples = Samples(sources, [10**12, 10**12, 2], settings, range(2), torch.device("cpu"))
    found = []
    for _ in range(steps):
        found.append(samples.numbers()[:2])
        samples.advance(torch.full_like(samples.totals, 5, dtype=torch.long), samples.totals)
    assert samples.running == [0, 1]
    assert max(made) == 2 * FIRST_NUMBERS
    wanted = [[uniforms(steps, 3, number, source) for number in range(2)] for source in sources[:2]]
    assert torch.stack(found, dim=-1).tolist() == wanted
