import sqlite3
import zipfile
from pathlib import Path

import pytest

from mtkit.config.dataset import VersesReader
from mtkit.corpus.pair import Pair
from mtkit.corpus.verses import read_verses
from mtkit.errors import DataError

READER = VersesReader(
    path="data/b.db",
    table="verse",
    version="v",
    keys=["book", "number"],
    text="body",
    versions={"en": "4", "de": "e"},
)


def archive(tmp_path: Path, body: bytes | None = None) -> Path:
    database = tmp_path / "b.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE verse (v TEXT, book INT, number INT, body TEXT)")
    rows = [
        ("4", 1, 2, "two"),
        ("4", 1, 1, "one"),
        ("e", 1, 1, "eins"),
        ("e", 1, 2, "zwei"),
        ("e", 2, 1, "drei"),
        ("x", 1, 1, "?"),
    ]
    connection.executemany("INSERT INTO verse VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as zipped:
        zipped.writestr("data/b.db", body if body is not None else database.read_bytes())
    return tmp_path / "a.whl"


def test_verses_are_matched_by_their_numbers_in_order(tmp_path: Path) -> None:
    assert list(read_verses(archive(tmp_path), READER, "en", "de")) == [
        Pair("one", "eins"),
        Pair("two", "zwei"),
    ]


def test_only_versions_that_the_card_names_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text version for the language 'fr'"):
        list(read_verses(archive(tmp_path), READER, "en", "fr"))


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the database cannot be read"):
        list(read_verses(archive(tmp_path, b"not a database" * 100), READER, "en", "de"))
