"""Verses out of a SQLite table: one row a verse and text version, matched by their numbers."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mtkit.config.dataset import VersesReader
from mtkit.corpus.archive import as_file, open_member
from mtkit.corpus.pair import Pair
from mtkit.errors import DataError


def read_verses(archive: Path, reader: VersesReader, source: str, target: str) -> Iterator[Pair]:
    """Stream the verses that both languages' versions have, in the order of their numbers.

    Raises:
        DataError: the card names no version for a language, or the database cannot be read.
    """
    versions = [_version(reader, language) for language in (source, target)]
    with open_member(archive, reader.path) as stream, as_file(stream, ".db") as path:
        # immutable: the file is read, never written, and no journal beside it is looked for
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            for first, second in connection.execute(_query(reader), versions):
                yield Pair(str(first), str(second))
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"the database cannot be read: {error}",
                where=f"{archive}: {reader.path}",
                expected=f"a SQLite file with a table {reader.table!r}",
                advice="The archive is not what the dataset card describes.",
            ) from error
        finally:
            connection.close()


def _version(reader: VersesReader, language: str) -> str:
    if language not in reader.versions:
        raise DataError(
            f"no text version for the language {language!r}",
            where=reader.path,
            expected=f"one of {', '.join(reader.versions)}",
            advice="Take other languages, or name the version in the dataset card.",
        )
    return reader.versions[language]


def _query(reader: VersesReader) -> str:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    table, version, text = quoted(reader.table), quoted(reader.version), quoted(reader.text)
    keys = [quoted(key) for key in reader.keys]
    same = " AND ".join(f"a.{key} = b.{key}" for key in keys)
    order = ", ".join(f"a.{key}" for key in keys)
    return (
        f"SELECT a.{text}, b.{text} FROM {table} AS a JOIN {table} AS b ON {same}"
        f" WHERE a.{version} = ? AND b.{version} = ? ORDER BY {order}"
    )
