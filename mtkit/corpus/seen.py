"""A set of 64-bit keys that grows on disk instead of in memory: which sentences were met before."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtkit.corpus.fold import Keys
from mtkit.files import user_errors

RUN_KEYS = 1 << 21  # keys (16 MB)


class SeenKeys:
    """Keys in sorted runs: new ones in memory, large ones in memory-mapped files of a temporary folder.

    Runs in memory double in size, so that each key is merged only some twenty times.

    Args:
        folder: where the temporary folder is made.
        run_keys: a run of this many keys goes to disk.
    """

    def __init__(self, folder: Path, run_keys: int = RUN_KEYS) -> None:
        self._folder, self._run_keys = folder, run_keys
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._in_memory: list[Keys] = []
        self._on_disk: list[Keys] = []

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """True for each key that was added before."""
        found = np.zeros(len(keys), dtype=np.bool_)
        order = np.argsort(keys)
        wanted = keys[order]  # sorted questions walk through a run in one direction
        for run in (*self._in_memory, *self._on_disk):
            at = np.searchsorted(run, wanted)
            at[at == len(run)] = len(run) - 1
            found[order] |= np.asarray(run[at] == wanted)
        return found

    def add(self, keys: Keys) -> None:
        """Add keys; they may have been added before."""
        if not len(keys):
            return
        runs = self._in_memory
        runs.append(np.sort(keys))
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            last = runs.pop()
            # a stable sort sees that both halves are sorted and only merges them
            runs[-1] = np.sort(np.concatenate([runs[-1], last]), kind="stable")
        if len(runs[0]) >= self._run_keys:
            self._to_disk(runs.pop(0))

    def _to_disk(self, run: Keys) -> None:
        with user_errors(self._folder):
            if self._scratch is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._scratch = tempfile.TemporaryDirectory(prefix=".seen-", dir=self._folder)
            path = Path(self._scratch.name) / f"{len(self._on_disk)}.npy"
            np.save(path, run, allow_pickle=False)
            self._on_disk.append(np.load(path, mmap_mode="r", allow_pickle=False))

    def close(self) -> None:
        """Forget everything and remove the temporary folder."""
        self._in_memory, self._on_disk = [], []
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def __enter__(self) -> "SeenKeys":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
