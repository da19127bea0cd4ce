import json

from mtkit.config.training import FixedTrainSettings, Keep, Until, Validate
from mtkit.training.state import Measured, RollBack, TrainState


def measured(update: int, loss: float, bleu: float = 0.0, epochs: int = 0) -> Measured:
    return Measured(update, epochs, loss, {"bleu": bleu})


def settings(by: str, best: int, average: int) -> FixedTrainSettings:
    keep = Keep(best=best, average=average)
    return FixedTrainSettings(
        until=Until(updates=9000), validate=Validate.model_validate({"by": by}), keep=keep
    )


def test_the_state_survives_json() -> None:
    state = TrainState(update=3, seconds=0.1 + 0.2, snapshots=[3], roll_backs=[RollBack(5, 3, "nan")])
    state.record(measured(3, 1 / 3), "loss")
    state.guard.smoothed = 2 / 3
    assert TrainState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_lower_loss_and_a_higher_score_are_better_and_an_equal_one_is_not() -> None:
    by_loss, by_bleu = TrainState(), TrainState()
    found = [measured(1, 3.0, 5.0), measured(2, 2.0, 4.0), measured(3, 2.0, 6.0), measured(4, 2.5, 6.0)]
    assert [by_loss.record(item, "loss") for item in found] == [True, True, False, False]
    assert [by_bleu.record(item, "bleu") for item in found] == [True, False, True, False]
    assert (by_loss.without_better, by_bleu.without_better) == (2, 1)
    assert by_loss.best("loss") == found[1]
    assert by_bleu.best("bleu") == found[2]


def test_of_equal_scores_the_lower_loss_is_better() -> None:
    state = TrainState()
    found = [measured(1, 5.0, 0.0), measured(2, 4.0, 0.0), measured(3, 4.5, 0.0)]
    assert [state.record(item, "bleu") for item in found] == [True, True, False]
    assert state.best("bleu") == found[1]


def test_best_and_last_weights_are_wanted() -> None:
    state = TrainState(snapshots=[1, 2, 3, 4, 5])
    for update, loss in enumerate([5.0, 1.0, 2.0, 3.0, 4.0], start=1):
        state.record(measured(update, loss), "loss")
    assert state.wanted_snapshots(settings("loss", 1, 1)) == [2]
    assert state.wanted_snapshots(settings("loss", 0, 1)) == [2]
    assert state.wanted_snapshots(settings("loss", 2, 1)) == [2, 3]
    assert state.wanted_snapshots(settings("loss", 1, 3)) == [2, 3, 4, 5]
    assert state.wanted_snapshots(settings("loss", 0, 3)) == [3, 4, 5]


def test_a_validation_is_due_once_every_so_many_updates() -> None:
    validate = Validate(every="10 updates")
    assert not TrainState(update=0).validation_is_due(validate)
    assert not TrainState(update=9).validation_is_due(validate)
    state = TrainState(update=10)
    assert state.validation_is_due(validate)
    state.record(measured(10, 1.0), "loss")
    assert not state.validation_is_due(validate)


def test_a_validation_is_due_once_every_so_many_epochs() -> None:
    validate = Validate(every="2 epochs")
    assert not TrainState(update=9, epoch=1).validation_is_due(validate)
    state = TrainState(update=18, epoch=2)
    assert state.validation_is_due(validate)
    state.record(measured(18, 1.0, epochs=2), "loss")
    state.update = 19
    assert not state.validation_is_due(validate)


def test_training_ends_by_whichever_comes_first() -> None:
    until = Until(updates=100, epochs=5, patience="2 validations")
    assert TrainState(update=99, epoch=4, without_better=1).end(until) is None
    assert TrainState(update=100).end(until) == "updates"
    assert TrainState(epoch=5).end(until) == "epochs"
    assert TrainState(without_better=2).end(until) == "patience"
