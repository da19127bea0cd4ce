from pathlib import Path

import numpy as np

from mtkit.corpus.seen import SeenKeys


def test_what_was_added_is_contained_and_nothing_else(tmp_path: Path) -> None:
    with SeenKeys(tmp_path, run_keys=50) as seen:
        for start in range(0, 300, 7):
            seen.add(np.arange(start, start + 7, dtype=np.uint64) * np.uint64(3))
        asked = np.arange(1000, dtype=np.uint64)
        expected = (asked % np.uint64(3) == 0) & (asked < 3 * 301)
        assert (seen.contains(asked) == expected).all()


def test_full_runs_lie_on_disk_until_closed(tmp_path: Path) -> None:
    seen = SeenKeys(tmp_path, run_keys=10)
    seen.add(np.arange(25, dtype=np.uint64))
    assert list(tmp_path.rglob("*.npy"))
    seen.close()
    assert not list(tmp_path.iterdir())


def test_an_empty_set_contains_nothing(tmp_path: Path) -> None:
    with SeenKeys(tmp_path) as seen:
        seen.add(np.zeros(0, dtype=np.uint64))
        assert not seen.contains(np.arange(3, dtype=np.uint64)).any()
