"""What a training is going to take: memory, time. Told in a line before its first update, or, by
`mtkit train --dry-run`, after a short probe that trains nothing but makes every check of a training.
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
from mtkit.batches.store import check_pairs
from mtkit.batches.stream import cut, parts_of_each
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
from mtkit.training.feasible import check_parts, check_precision, check_warm_up
from mtkit.training.fitting import Fitting, Work
from mtkit.training.memory import FIRST_ID, human, taken_bytes
from mtkit.training.optimizer import Optimizer
from mtkit.training.outlook import Outlook, available_bytes, share_of_cores
from mtkit.training.packing import check_compile, speed_up, why_padded
from mtkit.training.shortage import enough_for_training
from mtkit.training.trial import workload
from mtkit.training.tuning import Tuned, tune
from mtkit.training.update import Updater

SAMPLED_PAIRS = 5_000  # of a stored corpus, whose lengths stand for all
ASSUMED_TOKENS = 25  # of a sentence in a corpus that is not there yet; about a sentence of news
PROBE_SECONDS, WARM_UPDATES = 3.0, 2  # measured after the first ones, which are slower
AIM = 0.955  # of `batch_tokens`, which updates hold on the mean (`plan.py`)


@dataclass(frozen=True)
class Forecast:
    """What a training is going to take.

    Attributes:
        outlook: memory, and what the speed is based on.
        tokens_per_second: target tokens, over all processes; None: it is not known yet.
        seconds: to the end, validations not counted; None: it is not known.
        at_most: True if patience may end it earlier.
    """

    outlook: Outlook
    tokens_per_second: float | None
    seconds: float | None
    at_most: bool

    def __str__(self) -> str:
        expected, available = self.outlook.expected.total, self.outlook.available
        memory = f"{human(expected)} of memory expected"
        if available is not None:
            memory += f", {human(available)} available"
            memory += " (it may not suffice)" if expected > available else ""
        return " · ".join((f"{self.outlook.parameters:,} weights", memory, self.speed(self.outlook.basis)))

    def speed(self, basis: str = "") -> str:
        """Speed and time alone."""
        if self.tokens_per_second is None:
            return "speed and time follow when the first updates are measured"
        told = f"{self.tokens_per_second:,.0f} target tokens/s" + (f" ({basis})" if basis else "")
        if self.seconds is None:
            return told
        most = "at most " if self.at_most else ""
        return f"{told} · {most}{duration(self.seconds)} to the end, validations not counted"


def forecast(
    settings: FixedTrainSettings, outlook: Outlook, rate: float | None, updates: float | None
) -> Forecast:
    """Put together what is known.

    Args:
        settings: of the stage.
        outlook: memory, and the basis of the speed.
        rate: target tokens a second.
        updates: yet to be made; None: it is not known.
    """
    known = rate is not None and updates is not None
    seconds = updates * AIM * settings.batch_tokens / rate if known else None  # type: ignore[operator]
    return Forecast(outlook, rate, seconds, at_most=settings.until.patience is not None)


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

    Raises:
        DataError: training would find no pairs to train or to validate on.
    """
    pairs = int(read_json(corpus / "corpus.json")["pairs"]["train"])
    subword = Subword.load(subword_folder)
    for split in ("train", "valid"):
        check_pairs(corpus, subword, max_tokens, split)
    step = max(1, pairs // SAMPLED_PAIRS)
    source, target = _sampled(corpus, subword, step)
    fits = np.maximum(source, target) <= max_tokens
    if not fits.any():  # there is one, `check_pairs` says
        source, target = _sampled(corpus, subword, 1)
        fits = np.maximum(source, target) <= max_tokens
    basis = f"as long as {int(fits.sum()):,} pairs of the corpus"
    kept = round(pairs * float(fits.mean()))
    sizes = (subword.size("source"), subword.size("target"))
    return Lengths(np.resize(source[fits], kept), np.resize(target[fits], kept), sizes, basis, is_whole=True)


def _sampled(corpus: Path, subword: Subword, step: int) -> list[NDArray[np.int64]]:
    """Tokens of both sides of every `step`-th pair."""
    sides = []
    for side in SIDES:
        lines = itertools.islice(read_lines(corpus / f"train.{side}"), 0, None, step)
        sides.append(np.array([len(ids) + 1 for ids in subword.encode(list(lines), side)], dtype=np.int64))
    return sides


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


def probe_training(settings: TrainSettings, lengths: Lengths, run: RunContext, processes: int = 1) -> str:
    """What a training would take, in a line; nothing is written, and what is trained is thrown away.

    Args:
        settings: as the recipe has them.
        lengths: of the pairs.
        run: device, threads and seed, of each process.
        processes: that would train together on this machine.

    Raises:
        RecipeError: the corpus does not bear what the recipe asks for.
        RunError: there is no such device, it lacks the precision, or the model does not fit in its memory.
    """
    with prepared(run) as device, enough_for_training(device):
        check_precision(settings.precision, device)
        check_compile(settings, device)
        if lengths.is_whole:
            check_parts(settings, len(lengths.source))
        work, tuned = _work(settings, lengths, device, run, processes)
        chosen = decide(settings, work)
        fixed = chosen.settings
        if lengths.is_whole:
            planned = plan_epoch(lengths.source, lengths.target, fixed.batch_tokens, run.seed, epoch=0)
            check_warm_up(settings, len(planned))
        needed = Fitting(fixed, work, fixed.precision).expected(fixed.batch_tokens, fixed.accumulate)
        own = parts_of_each(fixed.accumulate, processes)
        with side_by_side(min(tuned.workers, own), tuned.torch_threads) as workers:
            speed_up(fixed, work.model, run.say)  # with these threads: with others it is compiled once more
            threads = workers.count * workers.torch_threads
            rate = _rate(fixed, work, workers) * processes * share_of_cores(processes, threads, device)
        outlook = Outlook(count_parameters(work.model), needed, available_bytes(device, processes))
        updates = _updates(fixed, work.tokens, lengths.is_whole)
        lines = [str(forecast(fixed, outlook, rate, updates)), f"measured on random ids, {lengths.basis}"]
        if processes > 1:
            lines.append(f"memory of each of {processes} processes, speed of all; what they tell each other"
                         " takes more")  # fmt: skip
        if chosen.reasons:
            lines.append(chosen.line())
        return "\n    ".join(lines)


def _work(
    settings: TrainSettings, lengths: Lengths, device: torch.device, run: RunContext, processes: int
) -> tuple[Work, Tuned]:
    """What one process would compute, and how."""
    torch.manual_seed(run.seed)
    model = Transformer(settings.model, *lengths.sizes).to(device).train()
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    tokens = (int(lengths.source.sum()), int(lengths.target.sum()))
    longest = int(lengths.target.max())
    to_tune = workload(settings, model, len(lengths.source), tokens, longest, cores, processes)
    tuned = tune(to_tune, cores, threads=run.threads, seed=run.seed)
    work = Work(
        model, lengths.source, lengths.target, workers=tuned.workers, seed=run.seed,
        processes=processes, local_processes=processes,
        precision=tuned.precision, precision_reason=tuned.precision_reason, taken=taken_bytes(device),
        is_whole=lengths.is_whole,
    )  # fmt: skip
    return work, tuned


def _updates(settings: FixedTrainSettings, tokens: int, is_whole: bool) -> float | None:
    """How many updates a training makes at most."""
    ends: list[float] = [] if settings.until.updates is None else [settings.until.updates]
    if settings.until.epochs is not None and is_whole:
        ends.append(settings.until.epochs * tokens / (AIM * settings.batch_tokens))
    return min(ends, default=None)


def _rate(settings: FixedTrainSettings, work: Work, workers: Workers) -> float:
    """Target tokens a second of one process, in real updates of random ids."""
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
    """Updates of the shapes that training is going to have, over and over; of each one process's share."""
    draw = np.random.default_rng(0)
    model = work.model
    pack = why_padded(settings, work.device) is None
    both = (work.source_lengths, work.target_lengths)
    parts = parts_of_each(settings.accumulate, work.processes) * work.processes
    source, target = (lengths[:SAMPLED_PAIRS].astype(np.int64) for lengths in both)
    for epoch in itertools.count():
        for pairs in plan_epoch(source, target, settings.batch_tokens, work.seed, epoch):
            batches = []
            for part in cut(source[pairs], target[pairs], parts)[:: work.processes]:
                rows = pairs[part]
                sources = [draw.integers(FIRST_ID, model.source_size, length - 1) for length in source[rows]]
                targets = [draw.integers(FIRST_ID, model.target_size, length - 1) for length in target[rows]]
                batch = make_batch(sources, targets, rows)
                batches.append(batch.pack(settings.max_tokens) if pack else batch)
            yield Update.whole(batches)
