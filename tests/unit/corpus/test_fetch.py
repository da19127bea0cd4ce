import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.dataset import DatasetCard, Part, card_from
from mtkit.corpus import fetch
from mtkit.corpus.cache import archive_place, locked
from mtkit.corpus.fetch import Fetcher, filled
from mtkit.errors import DataError, RunError


def part(source: dict[str, Any], **more: Any) -> Part:
    card: DatasetCard = card_from(
        {
            "name": "x",
            "about": "x",
            "languages": ["*"],
            "licence": "CC0-1.0",
            "attribution": "x",
            "network": True,
            "parts": [{"source": source, "reader": {"kind": "lines"}, **more}],
        }
    )
    return card.parts[0]


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def fetcher(tmp_path: Path, heard: Heard | None = None) -> Fetcher:
    return Fetcher(tmp_path, ("de", "en"), heard or Heard())


def test_a_pinned_file_is_fetched_once(server: Any, tmp_path: Path) -> None:
    (server.folder / "a").write_bytes(b"body")
    digest = hashlib.sha256(b"body").hexdigest()
    wanted = part({"kind": "url", "url": f"{server.url}/a", "sha256": digest})
    for _ in range(2):
        assert fetcher(tmp_path).fetch(wanted) == dict.fromkeys(("de", "en"), archive_place(digest, "a"))
    assert len(server.requests) == 1


def test_a_hash_that_differs_says_both_and_keeps_nothing(server: Any, tmp_path: Path, cache: Path) -> None:
    (server.folder / "a").write_bytes(b"evil")
    wanted, found = hashlib.sha256(b"body").hexdigest(), hashlib.sha256(b"evil").hexdigest()
    with pytest.raises(DataError) as caught:
        fetcher(tmp_path).fetch(part({"kind": "url", "url": f"{server.url}/a", "sha256": wanted}))
    assert wanted in str(caught.value)
    assert found in str(caught.value)
    assert [path for path in (cache / "archives").rglob("*") if path.is_file()] == []


def test_a_damaged_cached_file_is_fetched_again(server: Any, tmp_path: Path) -> None:
    (server.folder / "a").write_bytes(b"body")
    digest = hashlib.sha256(b"body").hexdigest()
    wanted, heard = part({"kind": "url", "url": f"{server.url}/a", "sha256": digest}), Heard()
    path = fetcher(tmp_path).fetch(wanted)["de"]
    path.write_bytes(b"bodx")
    assert fetcher(tmp_path, heard).fetch(wanted)["de"].read_bytes() == b"body"
    assert "damaged" in heard.lines[0]


def test_an_unpinned_hash_is_noted_said_and_checked_ever_after(
    server: Any, tmp_path: Path, cache: Path
) -> None:
    (server.folder / "a").write_bytes(b"first")
    wanted, heard = part({"kind": "url", "url": f"{server.url}/a", "sha256": None}), Heard()
    path = fetcher(tmp_path, heard).fetch(wanted)["de"]
    assert any("noted" in line for line in heard.lines)
    path.unlink()
    (server.folder / "a").write_bytes(b"second")
    with pytest.raises(DataError, match="the SHA-256 of a is"):
        fetcher(tmp_path).fetch(wanted)


def test_one_address_a_language_gives_two_files(server: Any, tmp_path: Path) -> None:
    (server.folder / "x.deu").write_bytes(b"eins\n")
    (server.folder / "x.en").write_bytes(b"one\n")
    wanted = part({"kind": "url", "url": f"{server.url}/x.{{language}}", "sha256": None}, codes={"de": "deu"})
    files = fetcher(tmp_path).fetch(wanted)
    assert [files[code].read_bytes() for code in ("de", "en")] == [b"eins\n", b"one\n"]


def test_two_at_once_fetch_once(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (server.folder / "a").write_bytes(b"body")
    wanted = part({"kind": "url", "url": f"{server.url}/a", "sha256": hashlib.sha256(b"body").hexdigest()})
    threads = [threading.Thread(target=lambda: fetcher(tmp_path).fetch(wanted)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_a_waiting_process_says_so(tmp_path: Path) -> None:
    heard, inside, leave = Heard(), threading.Event(), threading.Event()

    def hold() -> None:
        with locked("thing", Heard()):
            inside.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)

    def hear(line: str) -> None:
        heard(line)
        leave.set()

    with locked("thing", hear):
        assert "another process" in heard.lines[0]
    holder.join()


def test_files_beside_the_card_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_text("eins\n")
    with pytest.raises(DataError, match=r"x\.en: no such file"):
        fetcher(tmp_path).fetch(part({"kind": "path", "path": "x.{language}"}))
    (tmp_path / "x.en").mkdir()
    with pytest.raises(DataError, match=r"x\.en: this is a folder"):
        fetcher(tmp_path).fetch(part({"kind": "path", "path": "x.{language}"}))


def test_test_sets_come_through_sacrebleu_and_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(test_set: str, direction: str, side: str, into: Path, say: Any) -> None:
        into.write_text(f"{test_set} {direction} {side}\n")

    monkeypatch.setattr(fetch, "download_test_set", pretend)
    files = fetcher(tmp_path).fetch(part({"kind": "sacrebleu", "test_set": "wmt14/full"}))
    assert files["de"].read_text() == "wmt14/full de-en src\n"
    assert files["en"].read_text() == "wmt14/full de-en ref\n"


def test_words_in_an_address_are_filled_or_refused() -> None:
    wanted = part({"kind": "none"}, reader={"kind": "generator", "pairs": {"train": 1}}, codes={"en": "eng"})
    text = "{first}-{second} {source}>{target} {other} {language}"
    assert filled(text, wanted, ("en", "de"), "de") == "de-eng eng>de de de"
    with pytest.raises(DataError, match="stands for nothing"):
        filled("{other}", wanted, ("fr", "de"), "de")


def test_a_cache_folder_that_cannot_be_made_names_the_variable_that_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match="MTKIT_CACHE"), locked("x", Heard()):
        pass
