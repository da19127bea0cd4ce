import copy

import torch

from mtkit.model.transformer import Transformer
from mtkit.training.average import ExponentialAverage, mean


def test_the_average_of_weights_that_stand_still_is_those_weights(model: Transformer) -> None:
    average = ExponentialAverage(model, 0.9)
    average.follow(1)
    for ours, theirs in zip(average.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


def test_the_average_keeps_the_share_that_decay_says_and_less_at_the_start(model: Transformer) -> None:
    for update, kept in ((1, 2 / 11), (10_000, 0.75)):
        average = ExponentialAverage(model, 0.75)
        before = model.target_embedding.weight.detach().clone()
        with torch.no_grad():
            model.target_embedding.weight.add_(1.0)
        average.follow(update)
        torch.testing.assert_close(average.model.target_embedding.weight, before + (1 - kept))


def test_following_leaves_the_trained_weights_alone(model: Transformer) -> None:
    average = ExponentialAverage(model, 0.5)
    weights = [value.detach().clone() for value in model.parameters()]
    with torch.no_grad():
        for value in average.model.parameters():
            value.zero_()
    average.follow(100)
    assert all(torch.equal(value, before) for value, before in zip(model.parameters(), weights, strict=True))
    assert not any(value.requires_grad for value in average.model.parameters())


def test_the_mean_of_snapshots_is_exact_and_of_one_is_itself() -> None:
    first, second = torch.tensor([1.0, 2e-8]), torch.tensor([3.0, 4e-8])
    assert torch.equal(mean([{"w": first}, {"w": second}])["w"], torch.tensor([2.0, 3e-8]))
    assert torch.equal(mean(iter([{"w": first}]))["w"], first)


def test_the_average_is_kept_in_the_copy_that_is_made_for_it(model: Transformer) -> None:
    made: list[Transformer] = []

    def copied(model: Transformer) -> Transformer:
        made.append(copy.deepcopy(model))
        return made[-1]

    average = ExponentialAverage(model, 0.5, copied)
    assert [average.model] == made
