"""A set of 64-bit keys that grows on disk instead of in memory: which sentences were met before."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtkit.corpus.fold import Keys
from mtkit.files import user_errors

RUN_KEYS = 1 << 22  # keys kept in memory (32 MB) before they are written out as one sorted run


class SeenKeys:
    """Keys in sorted runs: the newest in memory, full ones in memory-mapped files of a temporary folder.

    Args:
        folder: where the temporary folder is made.
        run_keys: how many keys are kept in memory.
    """

    def __init__(self, folder: Path, run_keys: int = RUN_KEYS) -> None:
        self._folder, self._run_keys = folder, run_keys
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._memory: Keys = np.zeros(0, dtype=np.uint64)
        self._runs: list[Keys] = []

    def __len__(self) -> int:
        return len(self._memory) + sum(len(run) for run in self._runs)

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """True for each key that was added before."""
        found = np.zeros(len(keys), dtype=np.bool_)
        order = np.argsort(keys)
        wanted = keys[order]
        for run in (self._memory, *self._runs):
            if len(run):
                at = np.searchsorted(run, wanted)
                at[at == len(run)] = len(run) - 1
                found[order] |= np.asarray(run[at] == wanted)
        return found

    def add(self, keys: Keys) -> None:
        """Add keys; adding one twice is adding it once."""
        self._memory = np.unique(np.concatenate([self._memory, keys]))
        if len(self._memory) >= self._run_keys:
            self._write_run()

    def _write_run(self) -> None:
        with user_errors(self._folder):
            if self._scratch is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._scratch = tempfile.TemporaryDirectory(prefix=".seen-", dir=self._folder)
            path = Path(self._scratch.name) / f"{len(self._runs)}.npy"
            np.save(path, self._memory, allow_pickle=False)
            self._runs.append(np.load(path, mmap_mode="r", allow_pickle=False))
        self._memory = np.zeros(0, dtype=np.uint64)

    def close(self) -> None:
        """Forget everything and remove the temporary folder."""
        self._runs = []
        self._memory = np.zeros(0, dtype=np.uint64)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def __enter__(self) -> "SeenKeys":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
