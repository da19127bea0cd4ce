"""Whatever happens to the bytes of a checkpoint, it is noticed, and nothing in it is ever executed."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mtkit.errors import ModelError
from mtkit.files import canonical_hash, read_json, sha256
from mtkit.training import checkpoint
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.state import Measured, TrainState

IDENTITY = {"settings": {"model": {"dim": 16}}, "seed": 1}
FILES = ("00000007/checkpoint.json", "00000007/state.safetensors", "weights-00000007.safetensors")


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one checkpoint and the weights of a validation; not to be changed."""
    folder = tmp_path_factory.mktemp("good")
    state = TrainState(update=7, seconds=0.25, snapshots=[7], order="ab" * 32)
    state.validations.append(Measured(7, 0, 2.5, {"bleu": 12.5}))
    tensors = {"model/weight": torch.randn(3, 5), "optimizer/weight/step": torch.tensor(7.0)}
    Checkpoints(folder, IDENTITY, silent).save(state, tensors, {"weight": torch.randn(3, 5)})
    return folder


def is_noticed(folder: Path) -> bool:
    """True if a checkpoint, or the weights beside it, are refused."""
    checkpoints = Checkpoints(folder, IDENTITY, silent)
    try:
        checkpoints.newest()
        checkpoints.load_snapshot(7)
    except ModelError:
        return True
    return False


def harmed(good: Path, folder: Path, name: str, harm: Callable[[bytes], bytes]) -> bool:
    shutil.copytree(good, folder)
    path = folder / name
    path.write_bytes(harm(path.read_bytes()))
    try:
        return is_noticed(folder)
    finally:
        shutil.rmtree(folder)


@given(file=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
@hypothesis_settings(max_examples=150, deadline=None)
def test_one_changed_byte_is_noticed(
    good: Path, tmp_path_factory: pytest.TempPathFactory, file: str, share: float, change: int
) -> None:
    def flip(content: bytes) -> bytes:
        at = int(share * len(content))
        return content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]

    assert harmed(good, tmp_path_factory.getbasetemp() / "flipped", file, flip)


def test_another_space_in_the_json_is_noticed(good: Path, tmp_path: Path) -> None:
    assert harmed(good, tmp_path / "harmed", FILES[0], lambda content: content.replace(b"  ", b" \t", 1))
    assert not harmed(good, tmp_path / "harmed", FILES[0], lambda content: content)


@given(file=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True))
@hypothesis_settings(max_examples=30, deadline=None)
def test_a_file_cut_anywhere_is_noticed(
    good: Path, tmp_path_factory: pytest.TempPathFactory, file: str, share: float
) -> None:
    def cut(content: bytes) -> bytes:
        return content[: int(share * len(content))]

    assert harmed(good, tmp_path_factory.getbasetemp() / "cut", file, cut)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_with_the_right_checksum_is_refused_and_not_executed(good: Path, tmp_path: Path) -> None:
    folder, went_off = tmp_path / "checkpoints", tmp_path / "went_off"
    shutil.copytree(good, folder)
    (folder / FILES[1]).write_bytes(pickle.dumps(Bomb(went_off)))
    record = read_json(folder / FILES[0])
    del record["checksum"]
    record["files"]["state.safetensors"] = sha256(folder / FILES[1])
    (folder / FILES[0]).write_text(checkpoint._text({**record, "checksum": canonical_hash(record)}))
    said: list[str] = []
    with pytest.raises(ModelError, match="no checkpoint here can be read"):
        Checkpoints(folder, IDENTITY, said.append).newest()
    assert "cannot be read" in said[0]
    assert not went_off.exists()
    pickle.loads((folder / FILES[1]).read_bytes())  # it would have
    assert went_off.exists()


def test_a_checkpoint_is_read_without_unpickling_anything(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        pytest.fail("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    monkeypatch.setattr(torch, "load", refused)
    assert not is_noticed(good)
