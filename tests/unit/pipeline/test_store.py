import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mtkit.errors import RunError
from mtkit.files import read_json, write_text
from mtkit.pipeline.at_work import deciding
from mtkit.pipeline.fingerprint import Ingredients
from mtkit.pipeline.store import Store, folder_damage

PARTS = Ingredients("toy", 1, {"a": 1}, {}, {}, None, None)
PRINT = PARTS.fingerprint


def quiet(text: str) -> None:
    pass


def make(store: Store, text: str = "text\n") -> Path:
    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "deep/text", text)
        return store.seal(partial, PARTS)


def test_a_stage_is_visible_only_when_it_is_sealed(store: Store) -> None:
    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "text", "half")
        assert not store.folder("toy", PRINT).exists()
        assert not store.is_stored("toy", PRINT)
        store.seal(partial, PARTS)
    assert store.is_stored("toy", PRINT)
    assert not store.partial_folder("toy", PRINT).exists()


def test_the_record_says_what_the_stage_is_made_of(store: Store) -> None:
    make(store)
    record = store.record("toy", PRINT)
    assert record["settings"] == {"a": 1}
    assert record["fingerprint"] == PRINT
    assert record["files"]["deep/text"]["bytes"] == 5
    assert {"mtkit", "python", "torch"} <= record["versions"].keys()
    assert record["host"]["name"]
    assert not (store.folder("toy", PRINT) / "sessions.json").exists()


def test_a_changed_file_is_damage(store: Store) -> None:
    folder = make(store)
    write_text(folder / "deep/text", "TEXT\n")
    assert store.damage("toy", PRINT) is None  # the size is the same
    assert "SHA-256" in str(store.damage("toy", PRINT, verify=True))
    write_text(folder / "deep/text", "longer text\n")
    assert "bytes" in str(store.damage("toy", PRINT))
    (folder / "deep/text").unlink()
    assert "missing" in str(store.damage("toy", PRINT))


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"files": 3}', ""])
def test_a_broken_record_is_damage(store: Store, record: str) -> None:
    folder = make(store)
    write_text(folder / "stage.json", record)
    assert "stage.json" in str(folder_damage(folder))
    assert not store.is_stored("toy", PRINT)


def test_a_stage_of_another_fingerprint_is_damage(store: Store) -> None:
    folder = make(store)
    record = read_json(folder / "stage.json")
    write_text(folder / "stage.json", json.dumps({**record, "fingerprint": PRINT[:20]}))
    assert "another stage" in str(store.damage("toy", PRINT))


def test_a_damaged_stage_is_set_aside_and_made_again(store: Store) -> None:
    folder = make(store)
    (folder / "deep/text").unlink()
    make(store, "new\n")
    assert (folder / "deep/text").read_text() == "new\n"
    assert [entry.state for entry in store.all()] == ["stored", "damaged"]


def test_partial_work_stays_when_a_stage_fails(store: Store) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        store.partial("toy", PRINT, resumes=True, say=quiet) as partial,
    ):
        assert partial is not None
        write_text(partial.path / "half", "half")
        raise ZeroDivisionError
    with store.partial("toy", PRINT, resumes=True, say=quiet) as partial:
        assert partial is not None
        assert partial.is_resumed
        assert (partial.path / "half").exists()
        assert len(partial.sessions()) == 2


def test_a_kind_that_does_not_resume_starts_anew(store: Store) -> None:
    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "half", "half")
    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        assert not partial.is_resumed
        assert not (partial.path / "half").exists()


def test_a_killed_session_counts_until_it_last_wrote(store: Store) -> None:
    folder = store.partial_folder("toy", PRINT)
    start = time.time() - 1000
    write_text(folder / "sessions.json", json.dumps([{"started": start, "seconds": None, "host": "h"}]))
    for path, later in ((folder / "sessions.json", 0), (folder / "half", 600)):
        path.touch()
        os.utime(path, (start + later, start + later))
    with store.partial("toy", PRINT, resumes=True, say=quiet) as partial:
        assert partial is not None
        assert partial.sessions()[0]["seconds"] == pytest.approx(600, abs=0.1)


def test_halves_of_an_atomic_write_do_not_get_into_the_stage(store: Store) -> None:
    folder = store.partial_folder("toy", PRINT)
    write_text(folder / ".text.abc.new", "half")
    with store.partial("toy", PRINT, resumes=True, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "text", "whole")
        store.seal(partial, PARTS)
    assert list(store.record("toy", PRINT)["files"]) == ["text"]


def test_a_file_that_nfs_keeps_only_while_it_is_in_use_is_no_part_of_the_stage(store: Store) -> None:
    with store.partial("toy", PRINT, resumes=True, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "text", "whole")
        # a training deletes the ids that it has mapped
        write_text(partial.path / "batches/train/.nfs000000000000bc4e00000001", "ids")
        folder = store.seal(partial, PARTS)
    assert list(store.record("toy", PRINT)["files"]) == ["text"]
    (folder / "batches/train/.nfs000000000000bc4e00000001").unlink()  # as NFS does when the process ends
    assert store.is_stored("toy", PRINT)


def test_who_waits_says_who_holds_the_stage_and_gets_its_result(store: Store) -> None:
    said: list[str] = []
    results: list[object] = []

    def second() -> None:
        with Store(store.root).partial("toy", PRINT, resumes=False, say=said.append) as partial:
            results.append(partial)

    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            time.sleep(0.02)
        write_text(partial.path / "text", "whole")
        store.seal(partial, PARTS)
    thread.join()
    assert results == [None]
    assert len(said) == 1
    assert f"process {os.getpid()} on " in said[0]


HOLD = """
import sys, time
from pathlib import Path
from mtkit.pipeline.store import Store
with Store(Path(sys.argv[1])).partial("toy", sys.argv[2], resumes=True, say=print) as partial:
    (partial.path / "half").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_blocks_nobody(store: Store) -> None:
    command = [sys.executable, "-c", HOLD, str(store.root), PRINT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        (entry,) = store.all()
        assert entry.state == "running"
        assert entry.holder is not None
        assert entry.holder.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
    (entry,) = store.all()
    assert entry.state == "partial"
    said: list[str] = []
    with store.partial("toy", PRINT, resumes=True, say=said.append) as partial:
        assert partial is not None
        assert partial.is_resumed
    assert said == []


def test_a_stage_in_use_is_not_removed(store: Store) -> None:
    with store.partial("toy", PRINT, resumes=False, say=quiet):
        (entry,) = store.all()
        with pytest.raises(RunError, match=f"process {os.getpid()}"):
            Store(store.root).remove(entry)
        assert entry.path.exists()
    store.remove(entry)
    assert store.all() == []


def test_a_file_in_the_place_of_the_store_is_told(store: Store) -> None:
    write_text(store.root.parent, "no folder")
    with pytest.raises(RunError) as caught, store.partial("toy", PRINT, resumes=False, say=quiet):
        pass
    assert str(store.root) in caught.value.where
    assert caught.value.advice


def test_a_full_disk_is_told_and_leaves_no_stage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.partial("toy", PRINT, resumes=False, say=quiet) as partial:
        assert partial is not None
        write_text(partial.path / "text", "whole")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="no space left"):
            store.seal(partial, PARTS)
    monkeypatch.undo()
    assert not store.is_stored("toy", PRINT)
    make(store)
    assert store.is_stored("toy", PRINT)


@pytest.mark.parametrize("sessions", ["[1]", "3", "[{}]", "{"])
def test_a_damaged_note_of_sessions_loses_no_work(store: Store, sessions: str) -> None:
    folder = store.partial_folder("toy", PRINT)
    write_text(folder / "half", "half")
    write_text(folder / "sessions.json", sessions)
    with store.partial("toy", PRINT, resumes=True, say=quiet) as partial:
        assert partial is not None
        assert (partial.path / "half").exists()
        assert len(partial.sessions()) == 1


def test_a_store_where_nothing_can_be_written_is_told_as_such(unwritable: Path) -> None:
    with pytest.raises(RunError, match="nothing can be written here"), deciding(unwritable / "store"):
        pass
