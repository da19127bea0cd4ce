"""What is told where an engine cannot compute, in the place of the library's own words. Light: no torch."""

import re
from typing import Any

from mtkit.errors import RunError

# CUDA, cuBLAS, C++; torch of a CPU's memory, which has no exception of its own for it (Linux, macOS; Windows)
_FULL = re.compile(
    r"out of memory|ALLOC_FAILED|bad_alloc|can't allocate memory|not enough memory", re.IGNORECASE
)
_LIBRARY = re.compile(r"Library (lib(\w+)\S*) is not found")


def is_full(error: BaseException) -> bool:
    """True if what an engine's library raised says that the memory does not suffice."""
    return isinstance(error, MemoryError) or _FULL.search(str(error)) is not None


def memory_is_full(error: BaseException, where: str) -> RunError:
    """What is told where a batch does not fit in the memory.

    Args:
        error: what the library said.
        where: whose memory it is.
    """
    said = str(error).strip().partition("\n")[0]
    return RunError(
        "the memory is full" + (f": {said}" if said else ""),
        where=where,
        expected="memory for the model and for a batch of sentences",
        advice="End other programs that use this device, search with a smaller beam (`--beam-size`; in a"
        " recipe `beam_size` and `batch_tokens`) or draw fewer samples (`n_best`, `mbr.candidates`), or use"
        " another device (`--device`).",
    )


def waited(result: Any) -> Any:
    """What CTranslate2 found, once it has.

    Args:
        result: one of those that an asynchronous call of it gives.

    Raises:
        RunError: it could not compute, for want of memory, of a library, or for another reason.
    """
    try:
        return result.result()
    except (RuntimeError, MemoryError) as error:
        raise _told(error) from error


def _told(error: RuntimeError | MemoryError) -> RunError:
    if is_full(error):
        return memory_is_full(error, "CTranslate2")
    if (library := _LIBRARY.search(str(error))) is not None:
        kind = "cudnn" if "cudnn" in library[2] else "cublas"
        return RunError(
            f"the GPU's library {library[1]} is not installed, or not where the system looks for it",
            where="CTranslate2",
            expected="cuBLAS and cuDNN of the version of CUDA that CTranslate2 was built for",
            advice=f"Install it (`pip install nvidia-{kind}-cu12`) and name its folder in LD_LIBRARY_PATH, or"
            " use `--device cpu` or `--engine torch`.",
        )
    return RunError(
        f"it could not compute: {error}",
        where="CTranslate2",
        expected="a device and a driver that it computes with",
        advice="Use `--device cpu` or `--engine torch`.",
    )
