"""Which device a name means. Where and how training computes there is `training/devices.py`'s business."""

import os

import torch

from mtkit.errors import RunError

# cuBLAS repeats itself only with this; torch looks once, at the first product of the program on a GPU.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def find_device(name: str) -> torch.device:
    """The device that a name means; `auto` is the first GPU, or the CPU where there is none.

    Raises:
        RunError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _no_device(name, "not the name of a device") from error
    if device.type not in ("cpu", "cuda"):
        raise _no_device(name, "mtkit computes on no such kind of device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise _no_device(name, f"this machine shows {torch.cuda.device_count()} GPUs to torch")
    return device


def _no_device(name: str, found: str) -> RunError:
    return RunError(
        f"device {name!r}: {found}",
        expected="auto, cpu, cuda or cuda:N",
        advice="Use `--device cpu`, or install a torch that knows the GPU.",
    )
