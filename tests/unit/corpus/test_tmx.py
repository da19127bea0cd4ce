import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from mtkit.corpus.pair import Pair
from mtkit.corpus.tmx import read_tmx
from mtkit.errors import DataError

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="EN-us"><seg>Hello <bpt i="1">&lt;b&gt;</bpt>world<ept i="1">&lt;/b&gt;</ept>!</seg></tuv>
    <tuv xml:lang="de"><seg>Hallo <hi>Welt</hi>!</seg></tuv></tu>
<tu><tuv lang="en"><seg>Only English</seg></tuv></tu>
<tu><tuv xml:lang="pt-BR"><seg>ônibus</seg></tuv><tuv xml:lang="pt"><seg>autocarro</seg></tuv>
    <tuv xml:lang="en_GB"><seg>bus</seg></tuv></tu>
</body></tmx>
"""


def read(text: str, source: str, target: str) -> list[Pair]:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        yield io.BytesIO(text.encode())

    return list(read_tmx(opened, "memory.tmx", source, target))


def test_units_with_both_languages_are_read_by_primary_subtag() -> None:
    assert read(TMX, "en", "de") == [Pair("Hello world!", "Hallo Welt!")]


def test_the_very_language_comes_before_its_relatives() -> None:
    assert read(TMX, "en", "pt") == [Pair("bus", "autocarro")]
    assert read(TMX, "en", "pt-BR") == [Pair("bus", "ônibus")]


def test_broken_xml_is_named_with_its_line() -> None:
    with pytest.raises(DataError, match=r"memory\.tmx:7: not well-formed"):
        read(
            TMX.replace('</seg></tuv>\n    <tuv xml:lang="en_GB">', '</tuv>\n    <tuv xml:lang="en_GB">'),
            "en",
            "de",
        )


def test_entities_are_refused() -> None:
    evil = '<!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><tmx><body><tu>&b;</tu></body></tmx>'
    with pytest.raises(DataError, match="XML entities"):
        read(evil, "en", "de")


def test_no_unit_of_these_languages_is_an_empty_corpus() -> None:
    with pytest.raises(DataError, match=r"memory\.tmx \(en-fr\): the corpus is empty"):
        read(TMX, "en", "fr")
