import errno
import gzip
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.errors import DataError, RunError
from mtkit.files import (
    atomic,
    put_back,
    read_json,
    read_lines,
    read_text,
    sample_lines,
    sha256,
    sync,
    write_lines,
    write_text,
    zstd_module,
)

ODD = ["a\u2028b", "c\x85d", "e\rf", "g\x0ch", "", " i\t", "j\x00k", "\u2029", "\v"]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    assert write_lines(path, ODD) == len(ODD)
    assert list(read_lines(path)) == ODD


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".zst"])
def test_compressed_text_is_read_by_its_ending(tmp_path: Path, ending: str) -> None:
    raw = b"eins\nzwei drei\n"
    packed = {"": raw, ".gz": gzip.compress(raw), ".xz": lzma.compress(raw)}
    path = tmp_path / f"text{ending}"
    path.write_bytes(packed.get(ending) or zstd_module().compress(raw))
    assert list(read_lines(path)) == ["eins", "zwei drei"]


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_truncated_archive_is_a_data_error(tmp_path: Path, ending: str) -> None:
    raw = "\n".join(str(n * 7919) for n in range(20000)).encode()
    compressors: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".zst": zstd_module().compress,
    }
    packed = compressors[ending](raw)
    path = tmp_path / f"text{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(read_lines(path))


def test_what_reads_zst_is_asked_for_by_such_a_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("backports.zstd", "compression.zstd"):  # as where a model only translates
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match="no such file"):
        list(read_lines(tmp_path / "text"))


def test_what_stepped_aside_for_another_folder_of_a_longer_name_is_not_put_back(tmp_path: Path) -> None:
    (tmp_path / ".out.int8.abc_1234.old").mkdir()  # of out.int8
    put_back(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [".out.int8.abc_1234.old"]
    put_back(tmp_path / "out.int8")
    assert [path.name for path in tmp_path.iterdir()] == ["out.int8"]


def test_a_byte_order_mark_is_dropped_at_the_start_only(tmp_path: Path) -> None:
    path = tmp_path / "bom.txt"
    path.write_bytes(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert list(read_lines(path)) == ["a", "\ufeffb"]


def test_invalid_utf8_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"good\nna\xefve\n")
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert caught.value.where == f"{path}:2"
    assert "0xef at offset 7" in caught.value.found


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_what_is_not_a_file_is_a_data_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_lines(tmp_path / name))
    assert caught.value.expected and caught.value.advice


def test_a_last_line_without_line_feed_counts(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"a\nb")
    assert list(read_lines(path)) == ["a", "b"]
    assert read_text(path) == "a\nb"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("old")

    def half_written() -> None:
        with atomic(path) as stream:
            stream.write(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        half_written()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_a_line_break_inside_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line break"):
        write_lines(tmp_path / "t", ["fine", "two\nlines"])
    assert not (tmp_path / "t").exists()


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    from mtkit.files import user_errors

    def fill() -> None:
        with user_errors(full), full.open("wb", buffering=0) as stream:
            stream.write(b"x")

    with pytest.raises(RunError, match="no space left"):
        fill()


def test_a_place_that_cannot_be_written_is_no_file_that_is_missing(unwritable: Path) -> None:
    for path in (unwritable, unwritable / "deep" / "file"):
        with pytest.raises(RunError, match="nothing can be written here") as caught:
            write_text(path, "x")
        assert caught.value.where == str(path)


def test_a_damaged_json_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{\n "a": }\n')
    with pytest.raises(DataError) as caught:
        read_json(path)
    assert caught.value.where == f"{path}:2"


def test_the_hash_of_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"")
    assert sha256(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_called_by_its_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes("\ufeffGrüße\n".encode(encoding))
    with pytest.raises(DataError, match="this is UTF-16") as caught:
        list(read_lines(path))
    assert "iconv -f utf-16 " in caught.value.advice


def test_the_advice_for_wrong_bytes_in_an_archive_is_not_to_convert_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt.gz"
    path.write_bytes(gzip.compress(b"na\xefve\n"))
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert "latin.txt.gz" not in caught.value.advice


def test_json_that_is_not_utf8_raises_the_error_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(b'{\n"\xff": 1}')
    with pytest.raises(RunError, match="0xff at offset 3 is not valid UTF-8") as caught:
        read_json(path, error=RunError)
    assert caught.value.where == f"{path}:2"


def test_a_file_in_a_folders_place_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        write_lines(tmp_path / "runs/tiny/text", ["a"])


def test_samples_come_from_all_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("".join(f"line {number}\n" for number in range(1000)))
    found = [int(line.split()[1]) for line in sample_lines(tmp_path / "text", 10)]
    assert len(found) == 10
    assert found == sorted(found)
    assert found[0] == 0 and found[-1] > 850
    (tmp_path / "text").write_text("")
    assert list(sample_lines(tmp_path / "text", 10)) == []


def test_a_file_that_cannot_be_synced_is_an_error_and_a_folder_that_need_not_be_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    (tmp_path / "text").write_text("")
    sync(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        sync(tmp_path / "text")
