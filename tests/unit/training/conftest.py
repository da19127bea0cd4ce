import pytest
import torch

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.config.model import ModelSettings
from mtkit.model.transformer import Transformer

VOCABULARY = 23


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(5)
    settings = ModelSettings(dim=16, ffn_dim=24, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0)
    return Transformer(settings, VOCABULARY, VOCABULARY).train()


@pytest.fixture
def batches() -> Update:
    """Three micro-batches of one update, of unequal sizes, with padding."""
    draw = torch.Generator().manual_seed(3)

    def sentence(length: int) -> list[int]:
        return torch.randint(4, VOCABULARY, (length,), generator=draw).tolist()

    shapes = [[(3, 5), (4, 2)], [(6, 6)], [(1, 1), (2, 7), (5, 3)]]
    made, row = [], 0
    for pairs in shapes:
        sources = [sentence(source) for source, _ in pairs]
        targets = [sentence(target) for _, target in pairs]
        made.append(make_batch(sources, targets, range(row, row + len(pairs))))
        row += len(pairs)
    return Update.whole(made)


@pytest.fixture
def whole(batches: Update) -> Batch:
    """The same pairs as `batches` in one batch."""
    sources = [
        line[seen][:-1].tolist()
        for b in batches
        for line, seen in zip(b.source, b.source_is_token, strict=True)
    ]
    targets = [
        line[seen][:-1].tolist()
        for b in batches
        for line, seen in zip(b.target_out, b.target_is_token, strict=True)
    ]
    return make_batch(sources, targets, range(len(sources)))
