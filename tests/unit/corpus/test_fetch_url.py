import http.client
from pathlib import Path
from typing import Any

import pytest

from mtkit.corpus.fetch_url import TRIES, download_url
from mtkit.errors import DataError, RunError


def silent(_: str) -> None:
    pass


def test_a_file_is_downloaded(server: Any, tmp_path: Path) -> None:
    (server.folder / "a").write_bytes(b"hello")
    download_url(f"{server.url}/a", tmp_path / "out", silent)
    assert (tmp_path / "out").read_bytes() == b"hello"


def test_a_broken_download_goes_on_where_it_stopped(server: Any, tmp_path: Path) -> None:
    body = bytes(range(256)) * 10
    (server.folder / "a").write_bytes(body)
    server.break_after = 1000
    download_url(f"{server.url}/a", tmp_path / "out", silent)
    assert (tmp_path / "out").read_bytes() == body
    assert [wanted for _, wanted in server.requests] == ["", "bytes=1000-", "bytes=2000-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(server: Any, tmp_path: Path) -> None:
    (server.folder / "a").write_bytes(b"old" * 500)
    server.break_after = 100
    with pytest.raises(RunError, match="cannot be fetched"):
        download_url(f"{server.url}/a", tmp_path / "out", silent)
    assert len(server.requests) == TRIES
    (server.folder / "a").write_bytes(b"new" * 500)
    server.etag, server.break_after = '"two"', None
    download_url(f"{server.url}/a", tmp_path / "out", silent)
    assert (tmp_path / "out").read_bytes() == b"new" * 500


def test_a_missing_file_is_a_mistake_in_the_card(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answers 404"):
        download_url(f"{server.url}/none", tmp_path / "out", silent)
    assert len(server.requests) == 1


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be fetched") as caught:
        download_url("http://127.0.0.1:9/x", tmp_path / "out", silent)
    assert "goes on where it broke off" in caught.value.advice
    assert http.client.HTTPException not in type(caught.value).__mro__
