import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtkit.batches import store as store_module
from mtkit.batches.store import IdStore, write_ids
from mtkit.errors import DataError
from mtkit.files import read_json, read_lines, write_json, write_lines
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES


def written(folder: Path, source: list[str], target: list[str]) -> Path:
    write_lines(folder / "train.source", source)
    write_lines(folder / "train.target", target)
    return folder


def test_the_store_holds_the_ids_of_every_line(corpus: Path, subword: Subword, store: IdStore) -> None:
    for side in SIDES:
        lines = list(read_lines(corpus / f"train.{side}"))
        encoded = subword.encode(lines, side)
        stored = store.ids(np.arange(len(store)), side)
        assert [ids.tolist() for ids in stored] == encoded
    assert store.source_lengths.tolist() == [
        len(ids) + 1 for ids in subword.encode(lines_of(corpus, "source"), "source")
    ]
    assert store.rows.tolist() == list(range(len(lines_of(corpus, "source"))))


def lines_of(corpus: Path, side: str) -> list[str]:
    return list(read_lines(corpus / f"train.{side}"))


def test_the_summary_counts_with_eos(store: IdStore) -> None:
    assert store.summary.source_tokens == store.source_lengths.sum()
    assert store.summary.target_tokens == store.target_lengths.sum()
    assert store.summary.pairs == len(store) == 300


def test_a_batch_of_the_store_has_the_pairs_that_were_asked_for(
    store: IdStore, subword: Subword, corpus: Path
) -> None:
    batch = store.batch(np.array([7, 3]))
    assert batch.rows.tolist() == [7, 3]
    lines = lines_of(corpus, "target")
    assert subword.decode(batch.target_out[1].tolist(), "target") == lines[3]
    assert subword.decode(batch.target_in[0].tolist(), "target") == lines[7]


def test_pairs_with_a_long_side_are_left_out_and_rows_keep_their_lines(
    tmp_path: Path, subword: Subword
) -> None:
    corpus = written(
        tmp_path, ["hund", "hund " * 30 + "hund", "hund", "hund"], ["haus", "haus", "haus " * 30 + "haus", ""]
    )
    summary = write_ids(corpus, subword, tmp_path / "ids", max_tokens=20)
    store = IdStore.open(tmp_path / "ids")
    assert (summary.pairs, summary.left_out) == (2, 2)
    assert store.rows.tolist() == [0, 3]
    assert store.target_lengths[1] == 1


def test_a_side_as_long_as_allowed_with_its_eos_stays(tmp_path: Path, subword: Subword) -> None:
    length = len(subword.encode(["der hund läuft"], "source")[0]) + 1
    corpus = written(tmp_path, ["der hund läuft"], ["hund"])
    assert write_ids(corpus, subword, tmp_path / "ids", max_tokens=length).left_out == 0
    with pytest.raises(DataError):
        write_ids(corpus, subword, tmp_path / "ids", max_tokens=length - 1)


def test_other_splits_are_written_by_name(tmp_path: Path, subword: Subword) -> None:
    write_lines(tmp_path / "valid.source", ["hund"])
    write_lines(tmp_path / "valid.target", ["haus"])
    assert write_ids(tmp_path, subword, tmp_path / "ids", max_tokens=64, split="valid").pairs == 1


def test_the_same_counts_of_other_text_have_another_hash(tmp_path: Path, subword: Subword) -> None:
    summaries = [
        write_ids(
            written(tmp_path / name, source, ["haus"] * 2), subword, tmp_path / name / "ids", max_tokens=64
        )
        for name, source in (("a", ["hund", "haus"]), ("b", ["haus", "hund"]))
    ]
    assert summaries[0].source_tokens == summaries[1].source_tokens
    assert summaries[0].hashes["source"] != summaries[1].hashes["source"]
    assert summaries[0].hashes["target"] == summaries[1].hashes["target"]


def test_chunks_and_threads_do_not_change_the_files(
    corpus: Path, subword: Subword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ids(corpus, subword, tmp_path / "one", max_tokens=64)
    monkeypatch.setattr(store_module, "CHUNK_PAIRS", 7)
    write_ids(corpus, subword, tmp_path / "many", max_tokens=64, threads=2)
    one, many = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many")
    )
    assert many == one


def test_writing_takes_no_memory_for_the_corpus(
    subword: Subword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CHUNK_PAIRS", 50)
    peaks = []
    for pairs in (300, 2400):
        corpus = written(tmp_path / str(pairs), ["der hund läuft"] * pairs, ["die straße"] * pairs)
        tracemalloc.start()
        write_ids(corpus, subword, tmp_path / "ids", max_tokens=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_sides_of_unequal_length_name_both_counts(tmp_path: Path, subword: Subword) -> None:
    corpus = written(tmp_path, ["hund"] * 5, ["haus"] * 3)
    with pytest.raises(DataError, match=r"train\.source has 5 lines and train\.target has 3"):
        write_ids(corpus, subword, tmp_path / "ids", max_tokens=64)
    with pytest.raises(DataError, match="not finished"):
        IdStore.open(tmp_path / "ids")


@pytest.mark.parametrize(
    ("lines", "message"), [([], "no sentence pairs"), (["hund " * 99] * 2, "none of 2 pairs")]
)
def test_a_store_of_no_pairs_is_a_data_error(
    tmp_path: Path, subword: Subword, lines: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_ids(written(tmp_path, lines, lines), subword, tmp_path / "ids", max_tokens=64)


def test_sentences_without_any_id_can_be_stored(tmp_path: Path, subword: Subword) -> None:
    write_ids(written(tmp_path, ["", ""], ["hund", ""]), subword, tmp_path / "ids", max_tokens=64)
    batch = IdStore.open(tmp_path / "ids").batch(np.array([1, 0]))
    assert batch.source.tolist() == [[3], [3]]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [cut_short, Path.unlink])
@pytest.mark.parametrize("name", ["source.ids", "target.offsets", "rows"])
def test_a_file_that_is_not_as_promised_is_named(
    corpus: Path, subword: Subword, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    write_ids(corpus, subword, tmp_path, max_tokens=64)
    damage(tmp_path / name)
    with pytest.raises(DataError, match="the id store is damaged") as caught:
        IdStore.open(tmp_path)
    assert caught.value.where == str(tmp_path / name)


def test_offsets_that_do_not_fit_are_noticed(corpus: Path, subword: Subword, tmp_path: Path) -> None:
    write_ids(corpus, subword, tmp_path, max_tokens=64)
    offsets = np.fromfile(tmp_path / "source.offsets", dtype="<i8")
    offsets[3] = offsets[-1] + 1
    offsets.tofile(tmp_path / "source.offsets")
    with pytest.raises(DataError, match="offsets do not fit"):
        IdStore.open(tmp_path)


@pytest.mark.parametrize("change", [{"format": 9}, {"pairs": "many"}, {"types": {}}, {"more": 1}])
def test_a_header_of_another_kind_is_noticed(
    corpus: Path, subword: Subword, tmp_path: Path, change: dict[str, object]
) -> None:
    write_ids(corpus, subword, tmp_path, max_tokens=64)
    write_json(tmp_path / "ids.json", {**read_json(tmp_path / "ids.json"), **change})
    with pytest.raises(DataError, match="the id store is damaged"):
        IdStore.open(tmp_path)
