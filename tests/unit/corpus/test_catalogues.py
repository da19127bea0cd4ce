import json
import zipfile
from pathlib import Path

import polib
import pytest

from mtkit.corpus.catalogues import read_gettext, read_json_catalogues
from mtkit.corpus.pair import Pair
from mtkit.errors import DataError

PO = """\
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Open"
msgstr "Öffnen"

#, fuzzy
msgid "Close"
msgstr "Nähe"

msgctxt "menu"
msgid "Open"
msgstr "Menü öffnen"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Alt"
"""
PAIRS = [Pair("Open", "Öffnen"), Pair("Open", "Menü öffnen"), Pair("%d file", "%d Datei")]


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def test_po_leaves_out_fuzzy_obsolete_and_untranslated(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.whl", {"app/locale/de/LC_MESSAGES/x.po": PO.encode()})
    patterns = ["app/locale/{language}/LC_MESSAGES/*.po"]
    assert list(read_gettext(path, patterns, ("en", "de"), (True, False))) == PAIRS
    assert list(read_gettext(path, patterns, ("de", "en"), (False, True))) == [Pair(t, s) for s, t in PAIRS]


def test_mo_gives_the_same_as_po_without_fuzzy(tmp_path: Path) -> None:
    (tmp_path / "x.po").write_text(PO, "utf-8")
    polib.pofile(str(tmp_path / "x.po")).save_as_mofile(str(tmp_path / "x.mo"))
    path = zipped(tmp_path / "a.whl", {"de/x.mo": (tmp_path / "x.mo").read_bytes()})
    found = list(read_gettext(path, ["{language}/*.mo"], ("en", "de"), (True, False)))
    assert sorted(found) == sorted(PAIRS)


def test_two_translated_languages_are_joined_by_message_id(tmp_path: Path) -> None:
    french = PO.replace("Öffnen", "Ouvrir").replace("Menü öffnen", "Ouvrir le menu")
    path = zipped(
        tmp_path / "a.whl", {"de/x.po": PO.encode(), "fr/x.po": french.encode(), "de/y.po": PO.encode()}
    )
    found = list(read_gettext(path, ["{language}/*.po"], ("de", "fr"), (False, False)))
    assert found[0] == Pair("Öffnen", "Ouvrir")
    assert len(found) == 3


def test_a_broken_po_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.whl", {"de/x.po": b'msgid "a\nnonsense'})
    with pytest.raises(DataError, match=r"de/x\.po: not a gettext catalogue"):
        list(read_gettext(path, ["{language}/*.po"], ("en", "de"), (True, False)))


def test_a_po_file_that_is_a_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.po").write_text('msgid "secret"\nmsgstr "geheim"\n')
    path = zipped(tmp_path / "a.whl", {"de/x.po": str(tmp_path / "secret.po").encode()})
    with pytest.raises(DataError, match="not a gettext catalogue"):
        list(read_gettext(path, ["{language}/*.po"], ("en", "de"), (True, False)))


def test_json_catalogues_are_matched_by_folder_and_nested_key(tmp_path: Path) -> None:
    english = {"a": {"title": "Title", "only": "English"}, "list": ["x", "y"], "n": 3}
    german = {"a": {"title": "Titel"}, "list": ["ix", "ypsilon"], "n": 3, "more": "mehr"}
    path = zipped(
        tmp_path / "a.whl",
        {
            "c/hue/translations/en.json": json.dumps(english).encode(),
            "c/hue/translations/de.json": json.dumps(german).encode(),
            "c/abc/translations/de.json": json.dumps(german).encode(),
            "c/abc/translations/en-GB.json": json.dumps(english).encode(),
        },
    )
    found = list(read_json_catalogues(path, ["c/*/translations/{language}.json"], ("en", "de")))
    assert found == [Pair("Title", "Titel"), Pair("x", "ix"), Pair("y", "ypsilon")]
    back = list(read_json_catalogues(path, ["c/*/translations/{language}.json"], ("de", "en")))
    assert back == [Pair(t, s) for s, t in found]


@pytest.mark.parametrize("body", [b"{", b'{"a": "\xff"}', b"[" * 100_000])
def test_a_broken_json_catalogue_is_named(tmp_path: Path, body: bytes) -> None:
    path = zipped(tmp_path / "a.whl", {"en.json": body, "de.json": b"{}"})
    with pytest.raises(DataError, match=r"en\.json: not a JSON catalogue"):
        list(read_json_catalogues(path, ["{language}.json"], ("en", "de")))
