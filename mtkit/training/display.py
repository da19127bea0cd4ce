"""What a person sees of a training: a line that moves, the validations, a few translations."""

import math

from mtkit.log import Progress, RunContext, duration
from mtkit.training.state import Measured, TrainState
from mtkit.training.validation import Validation


class Display:
    """The live line of a training; nothing at all for a quiet run.

    Args:
        run: says whether to be quiet.
        state: where training begins or goes on.
        total: the number of the last update, as far as it is known, or None.
    """

    def __init__(self, run: RunContext, state: TrainState, total: int | None) -> None:
        self._run = run
        self._progress = None if run.quiet else Progress("training", total, "updates", done=state.update)
        self._scores = self._facts = ""
        if state.validations:
            self._remember(state.validations[-1])

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def update(self, loss: float, tokens_per_second: float, rate: float, epoch: int) -> None:
        """One more update; the numbers are those of the last few.

        Args:
            loss: NaN before the first few of a session, or since training went back: then nothing is shown.
            tokens_per_second: known when the loss is.
            rate: of learning.
            epoch: from 0.
        """
        if self._progress is None:
            return
        speed = f"{tokens_per_second:,.0f} target tokens/s"
        known = "" if math.isnan(loss) else f" · loss {loss:.3f} · {speed}"
        self._facts = f"epoch {epoch + 1}{known} · rate {rate:.1e}"
        self._progress.advance(1, self._facts + self._scores)

    def validation(self, measured: Measured, found: Validation, better: bool, seconds: float) -> None:
        """The scores of a validation, and translations so that one can watch it learn."""
        self._remember(measured)
        mark = " · best so far" if better else ""
        lines = [f"validation at update {measured.update:,} ({duration(seconds)}):{self._scores[2:]}{mark}"]
        for source, hypothesis, reference in found.samples:
            lines += [
                f"    source      {source}",
                f"    hypothesis  {hypothesis}",
                f"    reference   {reference}",
            ]
        self.note("\n".join(lines))

    def go_back(self, update: int) -> None:
        """Training is at an earlier update again."""
        if self._progress is not None:
            self._progress.done = update

    def note(self, text: str) -> None:
        """Lines that stay."""
        if self._progress is None:
            self._run.say(text)
        else:
            self._progress.note(text)

    def finish(self) -> None:
        """Leave the last line standing."""
        if self._progress is not None:
            self._progress.advance(0, self._facts + self._scores)
            self._progress.finish()

    def _remember(self, measured: Measured) -> None:
        scores = "".join(f" · {name} {score:.1f}" for name, score in measured.scores.items())
        self._scores = f" · validation loss {measured.loss_nats_per_token:.3f}{scores}"
