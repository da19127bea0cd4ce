from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mtkit.training.tensor_file import DTYPES, DamagedError, read_tensors, write_tensors

TENSORS = {
    **{f"{dtype}": torch.arange(5).to(dtype) for dtype in DTYPES},
    "ä/one": torch.tensor(2.5),
    'quote"': torch.zeros(0, 3),
    "b/turned": torch.arange(6.0).reshape(2, 3).T,
    "a": torch.randn(7, 11),
}


def test_the_file_is_the_librarys_own_to_the_byte(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS)
    expected = save({name: tensor.contiguous() for name, tensor in TENSORS.items()})
    assert (tmp_path / "file").read_bytes() == expected


def test_nothing_at_all_can_be_written_too(tmp_path: Path) -> None:
    assert read_tensors(tmp_path / "file", write_tensors(tmp_path / "file", {})) == {}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    digest = write_tensors(tmp_path / "file", TENSORS)
    found = read_tensors(tmp_path / "file", digest)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_another_file_is_refused(tmp_path: Path) -> None:
    digest = write_tensors(tmp_path / "file", TENSORS)
    write_tensors(tmp_path / "file", {"a": torch.zeros(3)})
    with pytest.raises(DamagedError, match="does not match its checksum"):
        read_tensors(tmp_path / "file", digest)
