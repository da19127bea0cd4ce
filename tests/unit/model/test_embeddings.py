import torch

from mtkit.model.embeddings import Embedding
from mtkit.subword.vocabulary import PAD


def test_vectors_are_multiplied_by_the_root_of_their_width() -> None:
    embedding = Embedding(7, 9)
    torch.nn.init.normal_(embedding.weight)
    ids = torch.tensor([[4, 6, 5], [1, 4, 2]])
    torch.testing.assert_close(embedding(ids), embedding.weight[ids] * 3.0)


def test_padding_learns_nothing_from_being_read() -> None:
    embedding = Embedding(7, 9)
    torch.nn.init.normal_(embedding.weight)
    embedding(torch.tensor([[4, PAD, PAD]])).sum().backward()
    assert embedding.weight.grad is not None
    assert not embedding.weight.grad[PAD].any()
    assert bool(embedding.weight.grad[4].all())
