"""Whatever happens to the bytes of an id store, it is noticed before a training reads them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mtkit.batches.store import IdStore, write_ids
from mtkit.errors import DataError
from mtkit.subword.codec import Subword

FILES = ("source.ids", "target.ids", "source.offsets", "target.offsets", "rows")


@pytest.fixture(scope="module")
def folder(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store; every test leaves it as it was."""
    written = tmp_path_factory.mktemp("ids")
    write_ids(toy / "corpus", Subword.load(toy / "subword"), written, max_tokens=30)
    return written


def is_noticed(folder: Path) -> bool:
    try:
        IdStore.open(folder).check()
    except DataError:
        return True
    return False


def test_what_was_written_is_whole(folder: Path) -> None:
    assert not is_noticed(folder)


@given(file=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
@hypothesis_settings(max_examples=150, deadline=None)
def test_one_changed_byte_is_noticed(folder: Path, file: str, share: float, change: int) -> None:
    content = (folder / file).read_bytes()
    at = int(share * len(content))
    try:
        (folder / file).write_bytes(content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
        assert is_noticed(folder)
    finally:
        (folder / file).write_bytes(content)
