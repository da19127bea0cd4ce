import gzip
import lzma
import random
from pathlib import Path

import pytest

from mtkit.config.corpus import TextSource
from mtkit.corpus.pair import Pair
from mtkit.corpus.pairs import (
    Files,
    first_out_of_step,
    gathered,
    locate,
    read_files,
    read_sides,
    read_tsv,
)
from mtkit.errors import DataError


def write(path: Path, *lines: str) -> Path:
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    return path


def test_odd_line_breaks_inside_a_line_do_not_shift_the_pairing(tmp_path: Path) -> None:
    odd = "a\u2028b\u0085c\rd\x0ce\x0bf\x1cg"
    source, target = write(tmp_path / "s", odd, "two"), write(tmp_path / "t", "eins", "zwei")
    assert list(read_sides(source, target)) == [([odd, "two"], ["eins", "zwei"])]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"\xef\xbb\xbfone\n")
    assert list(read_sides(tmp_path / "s", write(tmp_path / "t", "eins"))) == [(["one"], ["eins"])]


def test_unequal_sides_name_files_counts_and_the_likely_line(tmp_path: Path) -> None:
    draw = random.Random(3)
    lines = ["x" * draw.randint(5, 90) for _ in range(200)]
    source = write(tmp_path / "a.en", *lines)
    target = write(tmp_path / "a.de", *[line + "y" for line in lines[:120] + lines[121:]])
    with pytest.raises(DataError) as caught:
        list(read_sides(source, target))
    message = str(caught.value)
    assert f"200 lines in {source}" in message
    assert f"199 lines in {target}" in message
    assert f"{source}:121:" in message


def test_the_step_is_found_whichever_side_is_longer() -> None:
    draw = random.Random(5)
    lengths = [draw.randint(3, 200) for _ in range(500)]
    shorter = lengths[:300] + lengths[304:]
    assert first_out_of_step(lengths, shorter) == 300
    assert first_out_of_step(shorter, lengths) == 300
    assert first_out_of_step([], lengths) == 0


def test_invalid_utf8_names_file_line_and_offset(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"good\nb\xe4d\n")
    with pytest.raises(DataError, match=r"s:2: byte 0xe4 at offset 6"):
        list(read_sides(tmp_path / "s", write(tmp_path / "t", "gut", "schlecht")))


def test_two_empty_files_are_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the corpus is empty"):
        list(read_sides(write(tmp_path / "s"), write(tmp_path / "t")))


def test_one_empty_side_is_unequal(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0 lines in .*t$|0 lines in .*t\b"):
        list(read_sides(write(tmp_path / "s", "a"), write(tmp_path / "t")))


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "s", "a")
    with pytest.raises(DataError, match="same file"):
        list(read_sides(path, path))


def test_a_stem_finds_compressed_sides(tmp_path: Path) -> None:
    (tmp_path / "c.de.gz").write_bytes(gzip.compress(b"eins\n"))
    write(tmp_path / "c.en", "one")
    files = locate(TextSource(stem="c"), tmp_path, "de", "en")
    assert list(read_files(files, "de", "en")) == [(["eins"], ["one"])]


def test_a_missing_side_names_what_was_tried(tmp_path: Path) -> None:
    write(tmp_path / "c.en", "one")
    with pytest.raises(DataError) as caught:
        locate(TextSource(stem="c"), tmp_path, "de", "en")
    assert "c.de, c.de.gz, c.de.xz, c.de.zst" in str(caught.value)


def test_a_tsv_gives_its_first_two_columns(tmp_path: Path) -> None:
    files = locate(
        TextSource(tsv="t.tsv"), write(tmp_path / "t.tsv", "one\teins\tmore", "two\tzwei").parent, "en", "de"
    )
    assert list(read_files(files, "en", "de")) == [(["one", "two"], ["eins", "zwei"])]


def test_a_tsv_line_without_a_tab_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.tsv:2: 1 column: 'two'"):
        list(read_tsv(write(tmp_path / "t.tsv", "one\teins", "two")))


def test_an_empty_tsv_is_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        list(read_tsv(write(tmp_path / "t.tsv")))


def test_more_lines_than_a_chunk_stay_paired(tmp_path: Path) -> None:
    count = 45_003
    source = write(tmp_path / "s", *(f"s{n}" for n in range(count)))
    target = write(tmp_path / "t", *(f"t{n}" for n in range(count)))
    pairs = [pair for texts in read_sides(source, target) for pair in zip(*texts, strict=True)]
    assert pairs == [(f"s{n}", f"t{n}") for n in range(count)]


def test_gathering_ends_a_chunk_early_where_sentences_are_long() -> None:
    long = "x" * 5_000_000
    assert [len(source) for source, _ in gathered([Pair(long, "")] * 3)] == [2, 1]


def test_without_any_hint_the_side_was_likely_cut_short() -> None:
    assert first_out_of_step([11] * 200, [11] * 150) == 150
    assert first_out_of_step([11] * 150, [11] * 200) == 150


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_translation_memory_whose_archive_is_cut_short_is_told(tmp_path: Path, ending: str) -> None:
    unit = "<tu><tuv xml:lang='de'><seg>{}</seg></tuv><tuv xml:lang='en'><seg>{}</seg></tuv></tu>"
    units = "".join(unit.format(n * 7919, n * 104729) for n in range(3000))
    text = f"<tmx version='1.4'><header/><body>{units}</body></tmx>".encode()
    packed = gzip.compress(text) if ending == ".gz" else lzma.compress(text)
    path = tmp_path / f"memory.tmx{ending}"
    path.write_bytes(packed)
    files = Files("tmx", (path,))
    assert sum(len(sources) for sources, _ in read_files(files, "de", "en")) == 3000
    path.write_bytes(packed[:-100])
    with pytest.raises(DataError, match="cannot be read to its end") as told:
        list(read_files(files, "de", "en"))
    assert told.value.where == str(path)
