"""A stream gives the same batches whether they are made ahead or not, cut up or not, resumed or not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mtkit.batches.batch import Batch
from mtkit.batches.store import IdStore, write_ids
from mtkit.batches.stream import WHOLE, BatchStream, Share
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import FixedTrainSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword

WORDS = ["der", "hund", "läuft", "schnell", "über", "die", "straße", "und", "wartet", "vor", "dem", "haus"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    random = np.random.default_rng(1)
    for side in ("source", "target"):
        lines = (" ".join(random.choice(WORDS, random.integers(1, 9))) for _ in range(400))
        write_lines(folder / f"train.{side}", lines)
    learn_subword(SubwordSettings(pieces=310), SubwordInputs(folder), folder, RunContext(quiet=True))
    write_ids(folder, Subword.load(folder), folder / "ids", max_tokens=64)
    return folder


def stream(stage: Path, ahead: int = 0, share: Share = WHOLE, **values: object) -> BatchStream:
    settings = FixedTrainSettings.model_validate(
        {"batch_tokens": 256, "max_tokens": 64, "until": {"updates": 1000}, **values}
    )
    return BatchStream(
        IdStore.open(stage / "ids"), settings, 1, Subword.load(stage), ahead=ahead, share=share
    )


def same(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(first.source, second.source)
        and torch.equal(first.target_in, second.target_in)
        and torch.equal(first.target_out, second.target_out)
        and torch.equal(first.rows, second.rows)
        for first, second in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("sampling", [None, {"probability": 0.2}])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_made_ahead_is_made_when_asked_for(stage: Path, sampling: object, accumulate: int) -> None:
    plain = stream(stage, subword_sampling=sampling, accumulate=accumulate)
    updates = plain.batches_per_epoch(0) + 5
    with stream(stage, ahead=3, subword_sampling=sampling, accumulate=accumulate) as ahead:
        for _ in range(updates):
            assert same(ahead.next_update(), plain.next_update())
            assert ahead.position == plain.position
        assert ahead.padding_share == plain.padding_share


@pytest.mark.parametrize("sampling", [None, {"probability": 0.2}])
def test_micro_batches_together_are_the_update(stage: Path, sampling: object) -> None:
    whole, parts = (
        stream(stage, subword_sampling=sampling),
        stream(stage, subword_sampling=sampling, accumulate=3),
    )
    for _ in range(whole.batches_per_epoch(0)):
        assert sentences(parts.next_update()) == sentences(whole.next_update())


@pytest.mark.parametrize("sampling", [None, {"probability": 0.2}])
@pytest.mark.parametrize(("accumulate", "as_one"), [(1, 2), (2, 2), (3, 4)])
def test_the_shares_of_two_processes_are_the_micro_batches_of_one(
    stage: Path, sampling: object, accumulate: int, as_one: int
) -> None:
    one = stream(stage, subword_sampling=sampling, accumulate=as_one)
    two = [stream(stage, subword_sampling=sampling, accumulate=accumulate, share=Share(r, 2)) for r in (0, 1)]
    for _ in range(one.batches_per_epoch(0) + 2):
        whole, parts = one.next_update(), [part.next_update() for part in two]
        assert [number for part in parts for number in part.numbers[:1]] == [0, 1]
        for rank, part in enumerate(parts):
            assert same(part, whole[rank::2])
            assert list(part.numbers) == list(range(rank, as_one, 2))
            assert part.rows.tolist() == whole.rows.tolist()
            assert (part.source_tokens, part.target_tokens) == (whole.source_tokens, whole.target_tokens)
            assert part.positions == whole.positions == sum(batch.positions for batch in whole)
        assert [part.position for part in two] == [one.position] * 2
        assert two[0].padding_share == one.padding_share


def sentences(batches: Sequence[Batch]) -> list[tuple[int, list[int], list[int]]]:
    """Row, source and target of every pair, without padding."""
    return sorted(
        (int(row), source[is_source].tolist(), target[is_target].tolist())
        for batch in batches
        for row, source, is_source, target, is_target in zip(
            batch.rows,
            batch.source,
            batch.source_is_token,
            batch.target_out,
            batch.target_is_token,
            strict=True,
        )
    )


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("sampling", [None, {"probability": 0.2}])
def test_resumed_anywhere_is_uninterrupted(stage: Path, sampling: object, ahead: int) -> None:
    whole = stream(stage, subword_sampling=sampling)
    resumed = stream(stage, ahead=ahead, subword_sampling=sampling)
    with resumed:
        for update in range(whole.batches_per_epoch(0) + 4):
            if update % 5 == 0:
                resumed.seek(whole.position)
            assert same(resumed.next_update(), whole.next_update())
