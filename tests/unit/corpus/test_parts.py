import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.dataset import Part
from mtkit.corpus.pair import Pair
from mtkit.corpus.parts import read_part
from mtkit.errors import DataError


def part(reader: dict[str, Any], **more: Any) -> Part:
    return Part.model_validate({"source": {"kind": "path", "path": "x"}, "reader": reader, **more})


def pairs(wanted: Part, path: Path, source: str = "en", target: str = "de") -> list[Pair]:
    return [pair for _, pair in read_part(wanted, {source: path, target: path}, source, target)]


def zipped(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def test_two_members_of_one_archive_are_read_in_step(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"B.de-en.en": "one\ntwo\n", "B.de-en.de": "eins\nzwei\n"})
    reader = {"kind": "lines", "path": "B.{first}-{second}.{language}"}
    assert pairs(part(reader), path) == [Pair("one", "eins"), Pair("two", "zwei")]
    assert pairs(part(reader), path, "de", "en") == [Pair("eins", "one"), Pair("zwei", "two")]


def test_two_members_of_one_tar_are_read_in_step(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, body in (("d/t.en", b"one\n" * 3000), ("d/t.de", b"eins\n" * 3000)):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, BytesIO(body))
    assert pairs(part({"kind": "lines", "path": "d/t.{language}"}), path) == [Pair("one", "eins")] * 3000


def test_members_of_different_length_are_an_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", en="one\ntwo\n", de="eins\n")
    with pytest.raises(DataError, match=r"a\.zip/de: this side ends before line 2"):
        pairs(part({"kind": "lines", "path": "{language}"}), path)


def test_segments_and_tagged_lines_of_talks(tmp_path: Path) -> None:
    xml = '<doc>\n<seg id="1"> {} &amp; </seg>\n<title>x</title>\n</doc>\n'
    path = zipped(tmp_path / "a.zip", en=xml.format("one"), de=xml.format("eins"))
    reader: dict[str, Any] = {"kind": "lines", "path": "{language}", "segments_only": True}
    assert pairs(part(reader), path) == [Pair(" one & ", " eins & ")]
    path = zipped(tmp_path / "b.zip", en="<url>u</url>\none\n", de="<url>v</url>\neins\n")
    reader = {"kind": "lines", "path": "{language}", "skip_tagged": True}
    assert pairs(part(reader), path) == [Pair("one", "eins")]


def test_columns_of_a_table_are_found_by_language(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"deu.txt": "Go.\tGeh.\tCC-BY\n"})
    wanted = part({"kind": "tsv", "path": "{other}.txt", "columns": {"en": 1, "*": 2}}, codes={"de": "deu"})
    assert pairs(wanted, path) == [Pair("Go.", "Geh.")]
    assert pairs(wanted, path, "de", "en") == [Pair("Geh.", "Go.")]


def test_a_table_without_these_languages_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", t="x\ty\n")
    with pytest.raises(DataError, match="no column for fr and de"):
        pairs(part({"kind": "tsv", "path": "t", "columns": {"en": 1, "*": 2}}), path, "fr", "de")


def test_a_part_says_the_split_of_its_pairs(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", en="one\n", de="eins\n")
    wanted = part({"kind": "lines", "path": "{language}"}, split="test")
    assert list(read_part(wanted, {"en": path, "de": path}, "en", "de")) == [("test", Pair("one", "eins"))]


def test_a_generator_divides_its_pairs_itself() -> None:
    wanted = Part.model_validate(
        {"source": {"kind": "none"}, "reader": {"kind": "generator", "pairs": {"train": 3, "test": 2}}}
    )
    assert [split for split, _ in read_part(wanted, {}, "a", "b")] == ["train"] * 3 + ["test"] * 2


def test_tmx_in_an_archive_is_streamed(tmp_path: Path) -> None:
    unit = "<tu><tuv xml:lang='en'><seg>one</seg></tuv><tuv xml:lang='de'><seg>eins</seg></tuv></tu>"
    path = zipped(tmp_path / "a.zip", **{"de-en.tmx": f"<tmx><body>{unit}</body></tmx>"})
    assert pairs(part({"kind": "tmx", "path": "{first}-{second}.tmx"}), path) == [Pair("one", "eins")]
