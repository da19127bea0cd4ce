import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.corpus import CorpusSettings
from mtkit.corpus.identity import CorpusInputs, data_identity
from mtkit.errors import DataError, RecipeError


def identity(folder: Path, **settings: Any) -> dict[str, str]:
    return data_identity(CorpusSettings.model_validate(settings), CorpusInputs("de", "en", folder))


def test_files_count_by_content_and_not_by_name(tmp_path: Path) -> None:
    for stem in ("a", "b"):
        (tmp_path / f"{stem}.de").write_text("eins\n")
        (tmp_path / f"{stem}.en").write_text("one\n")
    found = identity(tmp_path, train=["a"], valid="b", test="b")
    digests = [hashlib.sha256(text).hexdigest() for text in (b"eins\n", b"one\n")]
    assert found["train.0"] == found["valid"] == "+".join(["sides", *digests])
    (tmp_path / "a.de").write_text("zwei\n")
    assert identity(tmp_path, train=["a"], valid="b", test="b")["train.0"] != found["train.0"]


def test_a_dataset_counts_without_being_fetched(tmp_path: Path, cache: Path) -> None:
    found = identity(tmp_path, train=[{"dataset": "homeassistant"}])
    assert list(found) == ["train.0", "valid", "test"]
    assert len(set(found.values())) == 3
    assert not cache.exists()


def test_left_out_validation_needs_exactly_one_dataset(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="`valid` and `test` are left out, and `train` names 2 datasets"):
        identity(tmp_path, train=[{"dataset": "starter"}, {"dataset": "homeassistant"}])


def test_a_dataset_without_the_languages_is_found_before_anything_runs(tmp_path: Path) -> None:
    inputs = CorpusInputs("de", "xx", tmp_path)
    settings = CorpusSettings.model_validate({"train": [{"dataset": "starter"}]})
    with pytest.raises(DataError, match="no pairs de → xx"):
        data_identity(settings, inputs)


def test_a_fingerprint_loads_neither_numpy_nor_polars() -> None:
    code = (
        "import sys, mtkit.corpus.identity;"
        " print([name for name in ('numpy', 'polars', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
