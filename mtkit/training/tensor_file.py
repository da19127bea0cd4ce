"""Tensors in one file: safetensors, hashed while it is written, and read only if the hash is the same.

The library's own `save` makes two further copies of everything in memory, and holds Python's lock while it
does; here each tensor's bytes go to the file as they lie. The file is the same to the byte (a test says so).
"""

import json
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mtkit.errors import ModelError
from mtkit.files import atomic
from mtkit.files import sha256 as file_sha256

Tensors = dict[str, Tensor]

# in the order in which the format lays them out: those that need the widest alignment first
DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
HEADER_ALIGNMENT = 8


class DamagedError(ModelError):
    """A file is not the one that was written."""


def damaged(path: Path, found: str) -> DamagedError:
    """The error for a file that is not the one that was written."""
    return DamagedError(
        f"{path.name} {found}",
        where=str(path),
        expected="the file as it was written",
        advice="Delete it and run the same command again.",
    )


def write_tensors(path: Path, tensors: Tensors) -> str:
    """Write tensors of the CPU in one move; returns the SHA-256 of the file.

    Raises:
        RunError: the disk is full or may not be written.
    """
    order = list(DTYPES)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name.encode()))
    digest = sha256()
    with atomic(path) as stream:
        for part in (_header(names, tensors), *(_bytes(tensors[name]) for name in names)):
            digest.update(part)
            stream.write(part)
    return digest.hexdigest()


def _header(names: list[str], tensors: Tensors) -> memoryview:
    """The length of the header and the header: of each tensor its type, its shape and where it lies."""
    entries, at = {}, 0
    for name in names:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return memoryview(len(text).to_bytes(8, "little") + text)


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's values as they lie in memory."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def read_tensors(path: Path, digest: str) -> Tensors:
    """The tensors of a file.

    Raises:
        DamagedError: it is missing or not the file that has this SHA-256.
    """
    if not path.is_file():
        raise damaged(path, "is missing")
    try:
        if file_sha256(path) != digest:
            raise damaged(path, f"({path.stat().st_size:,} bytes) does not match its checksum")
        return load_file(path)
    except SafetensorError as error:
        raise damaged(path, f"cannot be read ({error})") from error
