"""The loop: update after update, validations in between, a checkpoint now and then, until it is enough."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from mtkit.batches.batch import Batch
from mtkit.batches.stream import BatchStream, Position
from mtkit.config.training import FixedTrainSettings
from mtkit.files import write_json
from mtkit.log import EventWriter, RunContext
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.training.average import ExponentialAverage
from mtkit.training.checkpoint import LEAST_KEPT, Checkpoint, Checkpoints
from mtkit.training.devices import for_many_batches
from mtkit.training.display import Display
from mtkit.training.following import Found, check_order, read_by_first, saver_of
from mtkit.training.guard import DivergedError, Guard, check_measured
from mtkit.training.interruption import Interrupted, Interruption
from mtkit.training.meter import Meter
from mtkit.training.observer import Observer
from mtkit.training.optimizer import Optimizer
from mtkit.training.order import chained
from mtkit.training.processes import Processes
from mtkit.training.roll_back import is_anchor, next_roll_back, note, rate_share
from mtkit.training.saving import Named, Saved, under
from mtkit.training.schedule import factor
from mtkit.training.sharding import Sharded, shared_out, whole
from mtkit.training.shortage import enough_for_step, last_checkpoint_said
from mtkit.training.state import Measured, RollBack, TrainState
from mtkit.training.stretch import Stretch
from mtkit.training.tensor_file import Tensors
from mtkit.training.update import Updater
from mtkit.training.validation import Validation, Validator, validation_loss

CHECKPOINT_SECONDS = 60.0  # at most this much work is lost to kill -9; saving changes no result
EVENT_UPDATES = 20  # updates between two events; also how often a GPU is waited for


@dataclass(frozen=True)
class Parts:
    """What a loop works with.

    Attributes:
        settings: of the stage.
        model: on its device.
        stream: the training pairs.
        workers: compute its micro-batches.
        threads: of the CPU, that a validation may use.
        processes: that train the model together.
        sharded: the model again, if its weights are shared out among them.
        valid: this process's share of the validation set, the same batches every time.
        validate: translates and scores, or None.
        checkpoints: where they go.
        validations: folder of what each validation found.
        events: where events go.
        observer: notices what is not among the numbers.
        run: seed and talk.
        stretch: how much of the training is made, and who watches; None: all, and nobody.
    """

    settings: FixedTrainSettings
    model: Transformer
    stream: BatchStream
    workers: Workers
    threads: int
    processes: Processes
    sharded: Sharded | None
    valid: Callable[[], Iterable[Batch]]
    validate: Validator | None
    checkpoints: Checkpoints
    validations: Path
    events: EventWriter
    observer: Observer
    run: RunContext
    stretch: Stretch | None = None


class Loop:
    """A training at the boundary between two updates, and the way to the next.

    Args:
        parts: what it works with.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.settings, self.model = parts.settings, parts.model
        self.state = TrainState()
        self.optimizer = Optimizer(parts.model, parts.settings.optimizer, parts.workers)
        self.processes = parts.processes
        self.updater = Updater(
            parts.model,
            self.optimizer,
            parts.settings,
            parts.run.seed,
            parts.workers,
            parts.processes,
            parts.sharded,
        )
        decay, sharded = parts.settings.ema_decay, parts.sharded
        copied = copy.deepcopy if sharded is None else sharded.copied
        self.average = ExponentialAverage(parts.model, decay, copied) if decay else None
        self.guard = Guard(self.state.guard)
        self._observer = parts.observer
        self.saver = saver_of(parts.checkpoints, self._tell_saved, parts.processes)
        self._saved_at = time.monotonic()
        self._meter = Meter()

    @contextmanager
    def measured_model(self) -> Iterator[Transformer]:
        """The model that is validated and kept: the exponential average, if there is one; as a whole."""
        model = self.average.model if self.average else self.model
        if self.parts.sharded is None:
            yield model
            return
        with self.parts.sharded.gathered(model) as gathered:
            yield gathered

    def resume(self) -> bool:
        """Go on from the newest good checkpoint; False if there is none."""
        found = self._read(self.parts.checkpoints.newest)
        if found is None:
            return False
        self._load(found)
        self.parts.run.say(f"resuming at update {self.state.update:,} from {found.path}")
        self.parts.events.write("resume", update=self.state.update, checkpoint=str(found.path))
        return True

    def run(self) -> None:
        """Train to the end; every checkpoint is whole on disk when this returns or raises.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM, and a checkpoint has been written; or a second Ctrl-C, and
                the last checkpoint is the one before.
            RunError: the numbers went wrong (guard) and are not to be mended, or the disk is full.
        """
        with (
            Display(self.parts.run, self.state, self._last_update()) as display,
            Interruption(self.processes) as interruption,
        ):
            self.model.train()
            try:
                self._begin(display)
                while self.state.stopped_by is None and not self._stretch_is_over():
                    self._go_on(display, interruption)
                if self.state.stopped_by is None:
                    self._save("stretch")
                self.saver.wait()
                with interruption.allowed():
                    pass  # a signal since the last stretch began, as while all translate the last validation
            except Interrupted:
                with suppress(DivergedError):  # which the same command will meet again
                    self._save("interrupted")
                self.saver.wait()
                self.processes.wait_for_first()
                display.note(f"interrupted; the same command goes on from {self.saver.last}")
                raise KeyboardInterrupt from None
            finally:
                self.saver.close()
            display.finish()

    def _begin(self, display: Display) -> None:
        """Before the first update: what is expected, and something to go back to, if training may have to."""
        self._observer.begin(self._last_update() - self.state.update, display.note)
        if self.state.update == 0 and is_anchor(self.settings.on_divergence, self.state, None):
            self.state.anchor = 0
            self._save("begin")

    def _last_update(self) -> int:
        """The update at which training ends unless patience does; an estimate if epochs end it."""
        if self.state.stopped_by is not None:
            return self.state.update
        until, ends = self.settings.until, []
        if until.updates is not None:
            ends.append(until.updates)
        if until.epochs is not None:
            ends.append(until.epochs * self.parts.stream.batches_per_epoch(0))
        return max(min(ends), self.state.update)  # a later epoch may have an update more

    def _go_on(self, display: Display, interruption: Interruption) -> None:
        """The next thing to do, and what follows if the numbers went wrong."""
        try:
            self.saver.look()
            self._next(display, interruption)
        except DivergedError as error:
            self.parts.events.write("divergence", update=error.update, found=error.what, lines=error.lines)
            self.saver.wait()
            self.processes.wait_for_first()  # which tells of it, once its checkpoint is whole
            self._roll_back(
                next_roll_back(self.settings.on_divergence, self.state, error, self.saver.last), display
            )

    def _next(self, display: Display, interruption: Interruption) -> None:
        """Validate, or make an update. A training ends with a validation."""
        if self.state.validation_is_due(self.settings.validate_) or self.state.end(self.settings.until):
            self._validate(display, interruption)
            self.state.stopped_by = self.state.end(self.settings.until)
            self._save("validation", weights="average/" if self.average else "model/")
        else:
            self._update(display, interruption)
            if self._checkpoint_is_due():
                self._observer.tell_shortages(self.state, display.note)
                self._save("time")

    def _checkpoint_is_due(self) -> bool:
        stretch = self.parts.stretch
        if stretch is not None and stretch.saves(self.state.update):
            return True
        return any(self.processes.any(time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS))

    def _stretch_is_over(self) -> bool:
        return (stretch := self.parts.stretch) is not None and stretch.is_over(self.state.update)

    def _update(self, display: Display, interruption: Interruption) -> None:
        started = time.monotonic()
        state, number = self.state, self.state.update + 1
        rate = factor(self.settings.schedule, number, self.settings.until.updates)
        rate *= rate_share(self.settings.on_divergence, state)
        with interruption.allowed():
            batches = self.parts.stream.next_update()
            waited = time.monotonic() - started
            sums = self.updater.gradients(batches, number)
        with enough_for_step(self.settings, self.model, number, self.processes.share, self._last_good):
            observed, objective = self.updater.step(batches, sums, number, rate)
            if self.average:
                self.average.follow(number)
        state.update = number
        state.epoch, state.batch = self.parts.stream.position
        state.source_tokens += batches.source_tokens
        state.target_tokens += observed.tokens
        state.positions += batches.positions
        state.order = chained(state.order, batches.rows, observed.tokens)
        if self.parts.stretch is not None and self.processes.is_first:
            self.parts.stretch.note(observed, batches.rows)
        self.guard.add(observed)
        if number % EVENT_UPDATES == 0 or self.model.device.type == "cpu":
            self.guard.check()
        seconds = time.monotonic() - started
        state.seconds += seconds
        state.update_seconds += seconds
        self._meter.add(observed, objective, seconds)
        self._observer.update(state, waited, seconds, observed.tokens, self.updater.splits())
        self._observer.tell(state, self._last_update(), display.note)
        self._tell(display, rate * self.optimizer.peak_rate)

    def _tell(self, display: Display, rate: float) -> None:
        state, meter = self.state, self._meter
        if state.update % EVENT_UPDATES == 0 or state.update == 1:
            meter.read()
            self.parts.events.write(
                "update",
                update=state.update,
                epoch=state.epoch,
                loss_nats_per_token=round(meter.loss, 5),
                objective=round(meter.objective, 5),
                gradient_norm=round(meter.gradient_norm, 5),
                learning_rate=float(f"{rate:.6g}"),
                target_tokens=state.target_tokens,
                tokens_per_second=round(meter.tokens_per_second),
                training_seconds=round(state.seconds, 2),
            )
        display.update(meter.loss, meter.tokens_per_second, rate, state.epoch)

    def _validate(self, display: Display, interruption: Interruption) -> None:
        started = time.monotonic()
        state, by = self.state, self.settings.validate_.by
        self.guard.check()
        check_order(state, self.processes)
        with interruption.allowed(), self.measured_model() as model:
            measured, found = self._measure(model)
        check_measured(measured)
        self._observer.tell_shortages(state, display.note)
        better = state.record(measured, by)
        state.snapshots.append(state.update)
        state.snapshots = state.wanted_snapshots(self.settings)
        if is_anchor(self.settings.on_divergence, state, measured):
            state.anchor = state.update
        seconds = time.monotonic() - started
        state.seconds += seconds
        self.parts.events.write(
            "validation", **measured.flat(), epoch=state.epoch, better=better, took_seconds=round(seconds, 2),
            training_seconds=round(state.seconds, 2), target_tokens=state.target_tokens,
        )  # fmt: skip
        samples = [list(sample) for sample in found.samples]
        if self.processes.is_first:
            path = self.parts.validations / f"{state.update:08d}.json"
            write_json(path, {**measured.flat(), "samples": samples})
        display.validation(measured, found, better, seconds)

    def measure(self, model: Transformer) -> Measured:
        """The validation scores of any model of this architecture, as of now."""
        measured, _ = self._measure(model)
        self._observer.tell_shortages(self.state, self.parts.run.say)
        return measured

    def _measure(self, model: Transformer) -> tuple[Measured, Validation]:
        found = Validation()
        with for_many_batches(self.parts.workers, self.parts.threads) as workers:
            tell = partial(self._observer.in_pieces, "validation", self.state.update)
            loss = validation_loss(model, self.parts.valid(), workers, self.processes, tell)
            if self.parts.validate is not None:
                with evaluating(model):
                    found = self.parts.validate(model, workers)
        if found.smaller_batches is not None:
            self._observer.in_smaller_batches(self.state.update, found.smaller_batches)
        return Measured(self.state.update, self.state.epoch, loss, found.scores), found

    def _save(self, why: str, weights: str | None = None) -> None:
        """Begin to write a checkpoint of this boundary.

        Args:
            weights: prefix of the tensors that were validated here, if any were.
        """
        self.guard.check()
        done = self.state.stopped_by is not None
        keep = self.settings.keep.last if done else max(self.settings.keep.last, LEAST_KEPT)
        if self.state.update not in self.state.snapshots:
            weights = None  # no later model will be made of them
        self.saver.save(self.state, self._tensors(), why, keep=keep, weights=weights)
        self._saved_at = time.monotonic()

    def _last_good(self) -> str:
        """Which checkpoint is the last good one, once what is being written is there."""
        self.saver.wait()
        return last_checkpoint_said(self.saver.last, self.parts.checkpoints.folder, self.processes.share)

    def _tell_saved(self, saved: Saved) -> None:
        self.parts.events.write("checkpoint", update=saved.update, path=str(saved.path), why=saved.why)

    def _roll_back(self, done: RollBack, display: Display) -> None:
        """Be again where training was well, but for the learning rate and the time that it took."""
        roll_backs, seconds = [*self.state.roll_backs, done], self.state.seconds
        self._load(self._read(lambda: self.parts.checkpoints.at(done.to)))
        self.state.roll_backs, self.state.seconds = roll_backs, seconds
        for path in self.parts.validations.glob("*.json") if self.processes.is_first else ():
            if int(path.stem) > done.to:
                path.unlink()
        rate = rate_share(self.settings.on_divergence, self.state)
        self.parts.events.write("roll_back", update=done.update, to=done.to, found=done.found, rate=rate)
        display.note(note(self.settings.on_divergence, done, rate))
        display.go_back(done.to)
        self._save("roll_back")

    def _tensors(self) -> Named:
        """All that a checkpoint holds, one after the other; what is shared out is gathered in its turn."""
        parts: dict[str, Tensors] = {
            "model/": dict(self.model.named_parameters()),
            "optimizer/": self.optimizer.state_dict(),
            "average/": dict(self.average.model.named_parameters()) if self.average else {},
        }
        return (
            (prefix + name, whole(value.detach()))
            for prefix, part in parts.items()
            for name, value in part.items()
        )

    def _read(self, find: Callable[[], Found]) -> Found:
        """A checkpoint, and of its tensors what this process holds."""
        if self.parts.sharded is None:
            return read_by_first(find, self.processes)
        return read_by_first(find, self.processes, self.parts.sharded.part)

    def _load(self, found: Checkpoint) -> None:
        tensors = found.tensors
        fill(self.model, under(tensors, "model/"))
        if self.average:
            fill(self.average.model, under(tensors, "average/"))
        self.optimizer.load_state_dict(under(tensors, "optimizer/"))
        self.state, self.saver.last = found.state, found.path
        self.guard, self._meter = Guard(self.state.guard), Meter()
        self.parts.stream.seek(Position(self.state.epoch, self.state.batch))


@torch.no_grad()
def fill(model: Transformer, weights: Tensors) -> None:
    """Copy weights into a model; names and shapes are those of the checkpoint's own model."""
    parameters = dict(model.named_parameters())
    assert parameters.keys() == weights.keys(), "a checkpoint of the same settings has the same weights"
    for name, value in weights.items():
        parameters[name].copy_(shared_out(value, parameters[name]))
