import os
import signal
import threading

import pytest

from mtkit.training import interruption as module
from mtkit.training.interruption import SIGNALS, Interrupted, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_where_it_is_allowed_interrupts_at_once(number: signal.Signals) -> None:
    reached = []
    with pytest.raises(Interrupted), Interruption() as interruption, interruption.allowed():
        os.kill(os.getpid(), number)
        reached.append("after")
    assert not reached


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_elsewhere_waits_for_the_next_place_where_it_is_allowed(number: signal.Signals) -> None:
    reached = []
    with pytest.raises(Interrupted), Interruption() as interruption:
        os.kill(os.getpid(), number)
        reached.append("step")
        with interruption.allowed():
            reached.append("next")
    assert reached == ["step"]


def test_the_second_signal_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt) as told, Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal was held back")
    assert not isinstance(told.value, Interrupted), "nobody takes this place for a boundary between updates"


class EndedError(Exception):
    pass


def test_two_sigterms_of_one_stop_are_one_and_a_later_one_acts_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(*_: object) -> None:
        raise EndedError

    before = signal.signal(signal.SIGTERM, end)
    monkeypatch.setattr(module, "SAME_STOP_SECONDS", 1e9)
    try:
        with pytest.raises(Interrupted), Interruption() as interruption:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            with interruption.allowed():
                pytest.fail("nobody was interrupted")
        monkeypatch.setattr(module, "SAME_STOP_SECONDS", 0.0)
        with pytest.raises(EndedError), Interruption():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the second signal was held back")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    seen = []

    def work() -> None:
        with Interruption() as interruption, interruption.allowed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
