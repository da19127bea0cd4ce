import io
import os
import threading
import time
from collections.abc import Iterator

import pytest

from mtkit.errors import DataError
from mtkit.translation.arrivals import Arrivals, byte_lines


def test_lines_come_in_order_and_end() -> None:
    with Arrivals(str(number) for number in range(1000)) as arrivals:
        assert list(arrivals) == [str(number) for number in range(1000)]
        with pytest.raises(StopIteration):
            next(arrivals)


def test_a_lull_is_seen_and_ends_with_the_next_line() -> None:
    more = threading.Event()

    def lines() -> Iterator[str]:
        yield "one"
        more.wait(100)
        yield "two"

    with Arrivals(lines()) as arrivals:
        assert next(arrivals) == "one"
        assert arrivals.lull()
        more.set()
        assert next(arrivals) == "two"


def test_an_error_is_raised_in_its_place() -> None:
    def lines() -> Iterator[str]:
        yield "good"
        raise DataError("bad")

    with Arrivals(lines()) as arrivals:
        assert next(arrivals) == "good"
        with pytest.raises(DataError, match="bad"):
            next(arrivals)


def test_what_is_read_ahead_is_bounded_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtkit.translation.arrivals.READ_AHEAD_CHARACTERS", 100)
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield "x" * 60

    with Arrivals(lines()) as arrivals:
        assert next(arrivals) == "x" * 60
        time.sleep(0.1)
        assert read <= 4  # two that wait in the queue, one that is put, one that was taken
        assert len(list(arrivals)) == 49


def test_leaving_ends_the_thread_that_reads() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "line"

    with Arrivals(endless()) as arrivals:
        assert next(arrivals) == "line"
    arrivals._thread.join(100)
    assert not arrivals._thread.is_alive()


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"a", b"a\n", b"a\r\n\n\x00b\x0c\n\xe2\x80\xa8", b"x" * 200_000 + b"\ny"]
)
def test_byte_lines_end_at_line_feeds_alone(text: bytes) -> None:
    lines = list(byte_lines(io.BytesIO(text)))
    assert b"".join(lines) == text
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(b"\n" not in line[:-1] for line in lines)


def test_a_line_is_there_before_the_next_one_begins() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
        lines = byte_lines(stream)
        pipe.write(b"first\nsec")
        assert next(lines) == b"first\n"
        pipe.write(b"ond\n")
        assert next(lines) == b"second\n"


def test_a_stream_that_does_not_wait_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        for part in (b"one\nt", b"wo\n"):
            time.sleep(0.05)
            os.write(writing, part)
        os.close(writing)

    with os.fdopen(reading, "rb") as stream:
        writer = threading.Thread(target=write)
        writer.start()
        assert list(byte_lines(stream)) == [b"one\n", b"two\n"]
        writer.join()
