import pytest

from mtkit.log import RunContext
from mtkit.training.display import Display
from mtkit.training.meter import Meter
from mtkit.training.state import Measured, TrainState
from mtkit.training.validation import Validation

MEASURED = Measured(20, 1, 2.5, {"bleu": 12.34, "chrf": 40.0})
FOUND = Validation({"bleu": 12.34, "chrf": 40.0}, [("Guten Tag", "Good day", "Hello")])


def test_one_sees_scores_and_translations(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(RunContext(), TrainState(update=19), 100) as display:
        display.update(3.25, 1234.0, 5e-4, 0)
        display.validation(MEASURED, FOUND, better=True, seconds=3.0)
        display.finish()
    shown = capsys.readouterr().err
    assert (
        "validation at update 20 (3 s): validation loss 2.500 · bleu 12.3 · chrf 40.0 · best so far" in shown
    )
    for text in ("Guten Tag", "Good day", "Hello"):
        assert text in shown
    last = shown.splitlines()[-1]
    for text in (
        "20 of 100 updates",
        "epoch 1",
        "loss 3.250",
        "1,234 target tokens/s",
        "rate 5.0e-04",
        "bleu 12.3",
    ):
        assert text in last


def test_a_training_that_goes_on_shows_no_loss_before_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(RunContext(), TrainState(update=105), 200) as display:
        display.update(Meter().loss, Meter().tokens_per_second, 5e-4, 2)
        display.finish()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("epoch 3 · rate 5.0e-04")


def test_a_quiet_run_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(RunContext(quiet=True), TrainState(), None) as display:
        display.update(3.25, 1234.0, 5e-4, 0)
        display.validation(MEASURED, FOUND, better=False, seconds=3.0)
        display.finish()
    assert capsys.readouterr().err == ""
