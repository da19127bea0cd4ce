"""What a training is going to take: memory, time. Told in a line when its first updates are measured, or, by
`mtkit train --dry-run`, after a short probe that trains nothing.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mtkit.batches.batch import Update, make_batch
from mtkit.batches.plan import plan_epoch
from mtkit.batches.stream import cut
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.files import read_json, read_lines
from mtkit.log import RunContext, duration
from mtkit.model.count import count_parameters
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES
from mtkit.training.choosing import decide
from mtkit.training.devices import prepared, side_by_side
from mtkit.training.fitting import Fitting, Work
from mtkit.training.memory import FIRST_ID, Expected, human, memory_of, taken_bytes
from mtkit.training.optimizer import Optimizer
from mtkit.training.packing import check_compile, speed_up, why_padded
from mtkit.training.trial import workload
from mtkit.training.tuning import tune
from mtkit.training.update import Updater

SAMPLED_PAIRS = 5_000  # of a stored corpus, whose lengths stand for all
ASSUMED_TOKENS = 25  # of a sentence in a corpus that is not there yet; about a sentence of news
PROBE_SECONDS, WARM_UPDATES = 3.0, 2  # measured after the first ones, which are slower
AIM = 0.955  # of `batch_tokens`, which updates hold on the mean (`plan.py`)


@dataclass(frozen=True)
class Forecast:
    """What a training is going to take.

    Attributes:
        parameters: weights of the model.
        expected: bytes of each process at its peak.
        available: bytes that this process has and may yet get; None: nobody tells.
        tokens_per_second: target tokens, over all processes.
        seconds: to the end, validations not counted; None: how many updates there will be is not known.
        at_most: True if patience may end it earlier.
    """

    parameters: int
    expected: int
    available: int | None
    tokens_per_second: float
    seconds: float | None
    at_most: bool

    def __str__(self) -> str:
        memory = f"{human(self.expected)} of memory expected"
        if self.available is not None:
            memory += f", {human(self.available)} available"
            memory += " (it may not suffice)" if self.expected > self.available else ""
        parts = [f"{self.parameters:,} weights", memory]
        parts.append(f"{self.tokens_per_second:,.0f} target tokens/s")
        if self.seconds is not None:
            most = "at most " if self.at_most else ""
            parts.append(f"{most}{duration(self.seconds)} to the end, validations not counted")
        return " · ".join(parts)


def available_bytes(device: torch.device) -> int | None:
    """What this process has on a device and may yet get; None: nobody tells."""
    memory = memory_of(device)
    return None if memory is None else memory.free + taken_bytes(device)


def forecast(
    settings: FixedTrainSettings, work: Work, expected: Expected, rate: float, updates: float | None
) -> Forecast:
    """Put together what is known.

    Args:
        settings: of the stage.
        work: model and memory.
        expected: memory.
        rate: target tokens a second.
        updates: yet to be made; None: it is not known.
    """
    seconds = None if updates is None else updates * AIM * settings.batch_tokens / rate
    return Forecast(
        parameters=count_parameters(work.model),
        expected=expected.total,
        available=available_bytes(work.device),
        tokens_per_second=rate,
        seconds=seconds,
        at_most=settings.until.patience is not None,
    )


@dataclass(frozen=True)
class Lengths:
    """The pairs of a corpus, as far as they are known before a training.

    Attributes:
        source: tokens of each pair, EOS counted. [pairs]
        target: likewise.
        sizes: of the source and the target vocabulary.
        basis: where this comes from, for people.
        is_whole: False if nobody knows how many pairs there are.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    sizes: tuple[int, int]
    basis: str
    is_whole: bool


def stored_lengths(corpus: Path, subword_folder: Path, max_tokens: int) -> Lengths:
    """Of a stored corpus: some of its pairs are encoded and stand for all.

    Args:
        corpus: folder of a corpus stage.
        subword_folder: folder of a subword stage.
        max_tokens: longer pairs are left out.
    """
    pairs = int(read_json(corpus / "corpus.json")["pairs"]["train"])
    step = max(1, pairs // SAMPLED_PAIRS)
    subword = Subword.load(subword_folder)
    sides = []
    for side in SIDES:
        lines = itertools.islice(read_lines(corpus / f"train.{side}"), 0, None, step)
        sides.append(np.array([len(ids) + 1 for ids in subword.encode(list(lines), side)], dtype=np.int64))
    source, target = sides
    fits = np.maximum(source, target) <= max_tokens
    basis = f"as long as {int(fits.sum()):,} pairs of the corpus"
    kept = round(pairs * float(fits.mean()))
    sizes = (subword.size("source"), subword.size("target"))
    return Lengths(np.resize(source[fits], kept), np.resize(target[fits], kept), sizes, basis, is_whole=True)


def assumed_lengths(pieces: int, max_tokens: int) -> Lengths:
    """Of a corpus that is not there yet.

    Args:
        pieces: that the vocabulary is going to have.
        max_tokens: longest side.
    """
    tokens = min(ASSUMED_TOKENS, max_tokens)
    spread = np.random.default_rng(0).integers(max(2, tokens // 2), tokens * 3 // 2 + 1, (2, SAMPLED_PAIRS))
    source, target = np.minimum(spread, max_tokens)
    basis = f"assuming {tokens} tokens a sentence and {pieces:,} pieces, as the corpus is not there yet"
    return Lengths(source, target, (pieces, pieces), basis, is_whole=False)


def probe_training(settings: TrainSettings, lengths: Lengths, run: RunContext) -> str:
    """What a training would take, in a line; nothing is written, and what is trained is thrown away.

    Args:
        settings: as the recipe has them.
        lengths: of the pairs.
        run: device, threads and seed.

    Raises:
        RunError: there is no such device, or the model does not fit in its memory.
    """
    with prepared(run) as device:
        check_compile(settings, device)
        torch.manual_seed(run.seed)
        model = Transformer(settings.model, *lengths.sizes).to(device).train()
        cores = torch.get_num_threads() if device.type == "cpu" else 1
        tokens = (int(lengths.source.sum()), int(lengths.target.sum()))
        to_tune = workload(settings, model, len(lengths.source), tokens, int(lengths.target.max()), cores)
        tuned = tune(to_tune, cores, threads=run.threads, seed=run.seed)
        work = Work(
            model, lengths.source, lengths.target, workers=tuned.workers, seed=run.seed,
            precision=tuned.precision, precision_reason=tuned.precision_reason, taken=taken_bytes(device),
        )  # fmt: skip
        chosen = decide(settings, work)
        fixed = chosen.settings
        speed_up(fixed, model, run.say)
        needed = Fitting(fixed, work, fixed.precision).expected(fixed.batch_tokens, fixed.accumulate)
        with side_by_side(min(tuned.workers, fixed.accumulate), tuned.torch_threads) as workers:
            rate = _rate(fixed, work, workers)
        updates = _updates(fixed, tokens[1], lengths.is_whole)
        line = f"{forecast(fixed, work, needed, rate, updates)}\n    measured on random ids, {lengths.basis}"
        return line + (f"\n    {chosen.line()}" if chosen.reasons else "")


def _updates(settings: FixedTrainSettings, tokens: int, is_whole: bool) -> float | None:
    """How many updates a training makes at most."""
    ends: list[float] = [] if settings.until.updates is None else [settings.until.updates]
    if settings.until.epochs is not None and is_whole:
        ends.append(settings.until.epochs * tokens / (AIM * settings.batch_tokens))
    return min(ends, default=None)


def _rate(settings: FixedTrainSettings, work: Work, workers: Workers) -> float:
    """Target tokens a second of real updates of random ids."""
    updater = Updater(
        work.model, Optimizer(work.model, settings.optimizer, workers), settings, work.seed, workers
    )
    tokens, started = 0, time.monotonic()
    for number, update in enumerate(_random_updates(settings, work), start=1):
        updater.step(update, updater.gradients(update, number), number, 0.0)
        if work.device.type == "cuda":
            torch.cuda.synchronize(work.device)
        if number <= WARM_UPDATES:
            tokens, started = 0, time.monotonic()
            continue
        tokens += update.target_tokens
        if time.monotonic() - started >= PROBE_SECONDS:
            break
    return tokens / max(time.monotonic() - started, 1e-9)


def _random_updates(settings: FixedTrainSettings, work: Work) -> Iterator[Update]:
    """Updates of the shapes that training is going to have, over and over."""
    draw = np.random.default_rng(0)
    model = work.model
    pack = why_padded(settings, work.device) is None
    both = (work.source_lengths, work.target_lengths)
    source, target = (lengths[:SAMPLED_PAIRS].astype(np.int64) for lengths in both)
    for epoch in itertools.count():
        for pairs in plan_epoch(source, target, settings.batch_tokens, work.seed, epoch):
            batches = []
            for part in cut(source[pairs], target[pairs], settings.accumulate):
                rows = pairs[part]
                sources = [draw.integers(FIRST_ID, model.source_size, length - 1) for length in source[rows]]
                targets = [draw.integers(FIRST_ID, model.target_size, length - 1) for length in target[rows]]
                batch = make_batch(sources, targets, rows)
                batches.append(batch.pack(settings.max_tokens) if pack else batch)
            yield Update.whole(batches)
