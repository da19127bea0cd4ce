"""Training with torch.nn.Transformer, as a careful user writes it in an afternoon: what mtkit has to beat.

Run by `benchmarks/training.py` on its corpus in pieces. Batches hold sentences of like lengths, embeddings
are tied, AdamW is fused. Nothing of mtkit is used.
"""

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAD, UNK, BOS, EOS = 0, 1, 2, 3
POOL_PAIRS = 20_000  # sorted by length at a time
MOST_POSITIONS = 1024

Pair = tuple[list[int], list[int]]


class Model(nn.Module):
    """Embeddings, sinusoids, torch's Transformer, the embeddings again as output layer."""

    def __init__(self, pieces: int, shape: argparse.Namespace) -> None:
        super().__init__()
        self.embedding = nn.Embedding(pieces, shape.dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=shape.dim**-0.5)
        self.transformer = nn.Transformer(
            shape.dim, shape.heads, shape.layers, shape.layers, shape.ffn_dim, shape.dropout, batch_first=True
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.register_buffer("positions", sinusoids(MOST_POSITIONS, shape.dim))

    def embed(self, ids: Tensor) -> Tensor:
        """Ids [B, T] to states [B, T, D]."""
        states = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(states + self.positions[: ids.shape[1]])  # type: ignore[no-any-return, index]

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Source [B, S] and target [B, T] to logits [B, T, V]."""
        future = nn.Transformer.generate_square_subsequent_mask(target_in.shape[1], target_in.device).isinf()
        states = self.transformer(
            self.embed(source),
            self.embed(target_in),
            tgt_mask=future,
            src_key_padding_mask=source == PAD,
            memory_key_padding_mask=source == PAD,
            tgt_is_causal=True,
        )
        return F.linear(states, self.embedding.weight)  # [B, T, V]


def sinusoids(length: int, dim: int) -> Tensor:
    """Positions [length, D] (Vaswani et al. 2017, section 3.5)."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, dim, 2) / dim)
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def read_pairs(folder: Path) -> tuple[list[Pair], int]:
    """The training pairs as ids, and the size of the vocabulary."""
    vocabulary = (folder / "vocabulary.txt").read_text("utf-8").split("\n")[:-1]
    numbers = {piece: number for number, piece in enumerate(vocabulary, start=EOS + 1)}
    source, target = (
        [
            [numbers.get(piece, UNK) for piece in line.split()] + [EOS]
            for line in (folder / f"train.{side}").read_text("utf-8").split("\n")[:-1]
        ]
        for side in ("source", "target")
    )
    return list(zip(source, target, strict=True)), len(vocabulary) + EOS + 1


def batches(pairs: list[Pair], batch_tokens: int, draw: random.Random) -> Iterator[list[Pair]]:
    """Epoch after epoch: pairs sorted by length within pools, cut where padding included they are enough."""
    while True:
        draw.shuffle(pairs)
        cut: list[list[Pair]] = []
        for start in range(0, len(pairs), POOL_PAIRS):
            pool = sorted(pairs[start : start + POOL_PAIRS], key=lambda pair: (len(pair[1]), len(pair[0])))
            batch: list[Pair] = []
            for pair in pool:
                longest = max(len(pair[1]), max((len(one[1]) for one in batch), default=0))
                if longest * (len(batch) + 1) > batch_tokens:
                    cut.append(batch)
                    batch = []
                batch.append(pair)
            cut.append(batch)
        draw.shuffle(cut)
        yield from (batch for batch in cut if batch)


def pad(sentences: list[list[int]]) -> Tensor:
    """Ids [B, T], padded at the end."""
    return nn.utils.rnn.pad_sequence(
        [torch.tensor(ids) for ids in sentences], batch_first=True, padding_value=PAD
    )


def main() -> None:
    """Train for ever; who started it ends it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("pieces", type=Path)
    for name in ("layers", "dim", "ffn-dim", "heads", "batch-tokens", "warmup-updates", "seed", "threads"):
        options.add_argument(f"--{name}", type=int, required=True)
    for name in ("dropout", "label-smoothing", "learning-rate"):
        options.add_argument(f"--{name}", type=float, required=True)
    given = options.parse_args()
    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    pairs, pieces = read_pairs(given.pieces)
    model = Model(pieces, given)
    optimizer = torch.optim.AdamW(
        model.parameters(), given.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    warmup = given.warmup_updates
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: min((update + 1) / warmup, math.sqrt(warmup / (update + 1)))
    )
    for update, batch in enumerate(batches(pairs, given.batch_tokens, random.Random(given.seed)), start=1):
        source = pad([source for source, _ in batch])
        target_in = pad([[BOS, *target[:-1]] for _, target in batch])
        target_out = pad([target for _, target in batch])
        logits = model(source, target_in)
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            target_out.flatten(),
            ignore_index=PAD,
            label_smoothing=given.label_smoothing,
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if update % 50 == 0:
            print(f"update {update} loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
