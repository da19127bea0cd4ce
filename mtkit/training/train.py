"""The train stage: from a corpus and its subwords to a model folder."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mtkit.batches.stream import BatchStream, parts_of_each
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import ModelError
from mtkit.files import write_json
from mtkit.log import EventWriter, RunContext
from mtkit.model.count import count_parameters
from mtkit.model.folder import ModelCard
from mtkit.model.transformer import Transformer
from mtkit.model.weights import save_model
from mtkit.model.workers import Workers
from mtkit.training.alone import alone
from mtkit.training.average import mean
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.choosing import CHOSEN, Chosen, choose
from mtkit.training.devices import prepared, side_by_side
from mtkit.training.feasible import check_parts, check_precision, check_warm_up
from mtkit.training.fitting import Work
from mtkit.training.loop import Loop, Parts, fill
from mtkit.training.memory import taken_bytes
from mtkit.training.observer import Observer
from mtkit.training.outlook import Outlook, look_ahead
from mtkit.training.packing import check_compile, speed_up
from mtkit.training.preparation import Data, build_model, identity, open_stream, prepare_data
from mtkit.training.processes import Processes, processes_of
from mtkit.training.sharding import Sharded
from mtkit.training.shortage import enough_for_training
from mtkit.training.stall import machine_of
from mtkit.training.state import Measured, RollBack
from mtkit.training.stretch import Stretch
from mtkit.training.trial import workload
from mtkit.training.tuning import Tuned, keep_threads, tune
from mtkit.training.validation import Validation, Validator

__all__ = ["TrainInputs", "TrainSummary", "Validation", "Validator", "train"]

BATCHES, CHECKPOINTS, VALIDATIONS, MODEL = "batches", "checkpoints", "validations", "model"
EVENTS, SUMMARY, THREADS = "events.jsonl", "train.json", "threads.json"


@dataclass(frozen=True)
class TrainSummary:
    """How a training went: what `train.json` says.

    Attributes:
        parameters: weights of the model, tied ones once.
        source_size: ids of the source vocabulary.
        target_size: ids of the target vocabulary.
        pairs: training pairs.
        left_out: further pairs that were too long.
        updates: made.
        epochs: whole passes over the training pairs.
        seconds: of updates and validations, over all sessions.
        source_tokens: read, EOS counted, padding not.
        target_tokens: read likewise.
        tokens_per_second: target tokens per second of updates, validations not counted.
        padding_share: share of positions of both sides that were padding.
        best: numbers of the best validation.
        final: numbers of the weights in the model folder.
        final_is: where those weights come from.
        stopped_by: `updates`, `epochs` or `patience`.
        in_pieces: batches, of updates and validations, that ran out of memory and were computed in pieces.
        roll_backs: how often it diverged and went back: at which update, to which, why.
        chosen: value and reason of each setting that was `auto`.
    """

    parameters: int
    source_size: int
    target_size: int
    pairs: int
    left_out: int
    updates: int
    epochs: int
    seconds: float
    source_tokens: int
    target_tokens: int
    tokens_per_second: float
    padding_share: float
    best: dict[str, float]
    final: dict[str, float]
    final_is: str
    stopped_by: str
    in_pieces: int = 0
    roll_backs: tuple[RollBack, ...] = ()
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainInputs:
    """What training reads and whom it asks.

    Attributes:
        corpus: folder of a corpus stage.
        subword: folder of a subword stage.
        validate: translates validation sentences with a model and scores them; None if only the loss counts.
        card: makes the model folder's card from how training went.
    """

    corpus: Path
    subword: Path
    validate: Validator | None
    card: Callable[[TrainSummary], ModelCard]


def train(
    settings: TrainSettings,
    inputs: TrainInputs,
    out: Path,
    run: RunContext,
    stretch: Stretch | None = None,
) -> None:
    """Train a model, or go on where an earlier call with the same arguments was cut off.

    The weights depend on the settings, the texts and the seed, not on interruptions.

    Args:
        settings: of the stage.
        inputs: what it reads.
        out: gets `model/`, `checkpoints/`, `validations/`, `events.jsonl`, `train.json`, `chosen.json` if
            anything was `auto`, and, until it is finished, `batches/`.
        run: seed, device, threads, talk.
        stretch: make so much of it and no model; None: all of it.

    Raises:
        DataError: no pairs to train or to validate on.
        ModelError: `out` holds checkpoints of another training.
        RunError: the loss went wrong, the disk or the memory is full, there is no such device, or another
            training is at work in this folder.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same call goes on.
    """
    processes = processes_of(run)
    with (
        _held(out, processes),
        prepared(run) as device,
        enough_for_training(device),
        _events(run, out / EVENTS) as events,
    ):
        check_precision(settings.precision, device)
        check_compile(settings, device)
        data = processes.after_first(
            lambda: prepare_data(settings, inputs.corpus, inputs.subword, out / BATCHES, run)
        )
        check_parts(settings, data.train.summary.pairs)
        model = build_model(settings, data.subword, device, run.seed)
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        tuned = _tuned(settings, model, data, threads, out, run)
        work = _work(model, data, tuned, run)
        chosen = processes.after_first(lambda: choose(settings, work, out, run.say))
        check_precision(chosen.settings.precision, device, out / CHOSEN)
        outlook = look_ahead(chosen.settings, work, tuned) if processes.is_first else None
        own = parts_of_each(chosen.settings.accumulate, processes.share.count)
        with side_by_side(min(tuned.workers, own), tuned.torch_threads) as workers:
            with open_stream(chosen.settings, data, device, run.seed, processes.share) as stream:
                check_warm_up(settings, stream.batches_per_epoch(0))
                loop = _loop(
                    chosen.settings, inputs, data, stream, workers, threads, model, outlook, events, out, run,
                    stretch,
                )  # fmt: skip
                _tell_begin(loop, data, device)
                loop.resume()
                loop.run()
            if stretch is None:
                _finish(loop, inputs, data, chosen, out)


def _finish(loop: Loop, inputs: TrainInputs, data: Data, chosen: Chosen, out: Path) -> None:
    """Make the model of what was learnt, and say how it went."""
    with loop.measured_model() as model:
        final_is, final = _final(loop, model)
        if not loop.processes.is_first:
            return
        summary = _summary(loop, data, chosen, final_is, final)
        save_model(out / MODEL, model, inputs.card(summary), inputs.subword)
    write_json(out / SUMMARY, asdict(summary))
    loop.parts.run.say(f"model: {final_is}")
    loop.parts.events.write("end", **summary.final, stopped_by=summary.stopped_by, final_is=final_is)
    # the ids serve no reader of the result; a call that comes back to it writes them again
    shutil.rmtree(out / BATCHES, ignore_errors=True)


def _held(out: Path, processes: Processes) -> AbstractContextManager[None]:
    """The folder, held by rank 0 for all processes."""
    return alone(out) if processes.is_first else nullcontext()


@contextmanager
def _events(run: RunContext, path: Path) -> Iterator[EventWriter]:
    """The run's events if they go to this stage's file, otherwise a writer of its own; rank 0's alone."""
    if run.events.path == path or not processes_of(run).is_first:
        yield run.events
        return
    events = EventWriter(path)
    try:
        yield events
    finally:
        events.close()


def _tuned(
    settings: TrainSettings, model: Transformer, data: Data, threads: int, out: Path, run: RunContext
) -> Tuned:
    """How this machine is going to compute; said if it was measured."""
    facts, longest = data.train.summary, int(data.train.target_lengths.max())
    tokens = (facts.source_tokens, facts.target_tokens)
    count = processes_of(run).share.count
    work = workload(settings, model, facts.pairs, tokens, longest, threads, count)
    tuned = tune(work, threads, threads=run.threads, seed=run.seed)
    if tuned.measured:
        run.say(tuned.line())
    if not processes_of(run).is_alone:  # each is told its threads
        return tuned
    return keep_threads(tuned, out / CHECKPOINTS / THREADS, asked=run.threads is not None)


def _work(model: Transformer, data: Data, tuned: Tuned, run: RunContext) -> Work:
    """What a choice of batch and precision depends on."""
    train = data.train
    return Work(
        model, train.source_lengths, train.target_lengths, workers=tuned.workers, seed=run.seed,
        precision=tuned.precision, precision_reason=tuned.precision_reason,
        processes=processes_of(run).share.count, local_processes=processes_of(run).local_count,
        taken=taken_bytes(model.device),
    )  # fmt: skip


def _loop(  # noqa: PLR0913  # puts everything together, once
    settings: FixedTrainSettings,
    inputs: TrainInputs,
    data: Data,
    stream: BatchStream,
    workers: Workers,
    threads: int,
    model: Transformer,
    outlook: Outlook | None,
    events: EventWriter,
    out: Path,
    run: RunContext,
    stretch: Stretch | None,
) -> Loop:
    """The loop at its beginning, nothing resumed yet."""
    processes = processes_of(run)
    asked = settings.validate_.by != "loss" or settings.validate_.samples > 0
    sharded = _sharded(settings, model, run)
    speed_up(settings, model, run.say)
    parts = Parts(
        settings=settings,
        model=model,
        stream=stream,
        workers=workers,
        threads=threads,
        processes=processes,
        sharded=sharded,
        valid=lambda: data.valid_batches(settings.batch_tokens, processes.share),
        validate=inputs.validate if asked else None,
        checkpoints=Checkpoints(out / CHECKPOINTS, identity(settings, data, run.seed), run.say),
        validations=out / VALIDATIONS,
        events=events,
        observer=Observer(
            settings, outlook, processes, machine_of(workers, model.device, processes.local_count), events
        ),
        run=run,
        stretch=stretch,
    )
    return Loop(parts)


def _sharded(settings: FixedTrainSettings, model: Transformer, run: RunContext) -> Sharded | None:
    """The model with its weights shared out, if they are to be."""
    processes = processes_of(run)
    if settings.shard and processes.is_alone:
        run.say("`shard` changes nothing: this is one process")
    return Sharded(model, processes) if settings.shard and not processes.is_alone else None


def _tell_begin(loop: Loop, data: Data, device: torch.device) -> None:
    facts = {
        "parameters": count_parameters(loop.model),
        "pairs": data.train.summary.pairs,
        "left_out": data.train.summary.left_out,
        "target_tokens_per_epoch": data.train.summary.target_tokens,
        "updates_per_epoch": loop.parts.stream.batches_per_epoch(0),
        "device": str(device),
        "threads": loop.parts.workers.count * loop.parts.workers.torch_threads,
        "workers": loop.parts.workers.count,
        "processes": loop.processes.share.count,
        "torch": torch.__version__,
    }
    loop.parts.events.write("begin", **facts)
    loop.parts.run.say(
        f"{facts['parameters']:,} weights · {facts['pairs']:,} pairs · an epoch has"
        f" {facts['target_tokens_per_epoch']:,} target tokens in {facts['updates_per_epoch']:,} updates"
        f" · {device}, {facts['threads']} threads"
        + (f" for {loop.settings.accumulate} micro-batches an update" if loop.parts.workers.count > 1 else "")
    )


def _final(loop: Loop, model: Transformer) -> tuple[str, Measured]:
    """Give a model the weights to keep; where they come from, and their numbers."""
    state, keep, by = loop.state, loop.settings.keep, loop.settings.validate_.by
    processes = loop.processes
    kept = [item for item in state.validations if item.update in state.snapshots]
    intact = processes.told(lambda: [_is_intact(loop, item) for item in kept])
    kept = [item for item, is_intact in zip(kept, intact, strict=True) if is_intact]
    chosen = kept[-keep.average :]
    if keep.average == 1:
        chosen = [max(kept, key=lambda item: item.rank(by))] if kept else []
    if not chosen:
        return f"update {state.update}", state.validations[-1]
    updates = [item.update for item in chosen]
    snapshots = loop.parts.checkpoints
    if processes.is_first:
        fill(model, mean(snapshots.load_snapshot(update) for update in updates))
    processes.broadcast(model.parameters())
    if len(chosen) == 1:
        return f"the validation at update {updates[0]}", chosen[0]
    return f"average of the validations at updates {', '.join(map(str, updates))}", loop.measure(model)


def _is_intact(loop: Loop, item: Measured) -> bool:
    """True if the weights of a validation can be read; says so if not."""
    try:
        loop.parts.checkpoints.load_snapshot(item.update)
    except ModelError as error:
        loop.parts.run.say(f"{error.where}: {error.found}; the final model is made without it")
        return False
    return True


def _summary(loop: Loop, data: Data, chosen: Chosen, final_is: str, final: Measured) -> TrainSummary:
    state = loop.state
    best = state.best(loop.settings.validate_.by)
    assert best is not None, "training ends with a validation"
    assert state.stopped_by is not None, "training has ended"
    return TrainSummary(
        parameters=count_parameters(loop.model),
        source_size=loop.model.source_size,
        target_size=loop.model.target_size,
        pairs=data.train.summary.pairs,
        left_out=data.train.summary.left_out,
        updates=state.update,
        epochs=state.epoch,
        seconds=round(state.seconds, 2),
        source_tokens=state.source_tokens,
        target_tokens=state.target_tokens,
        tokens_per_second=round(state.target_tokens / max(state.update_seconds, 1e-9), 1),
        padding_share=round(state.padding_share, 4),
        best=best.flat(),
        final=final.flat(),
        final_is=final_is,
        stopped_by=state.stopped_by,
        in_pieces=state.in_pieces,
        roll_backs=tuple(state.roll_backs),
        chosen=chosen.facts(),
    )
