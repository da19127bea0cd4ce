from pathlib import Path

import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import TrainSettings, Until
from mtkit.errors import RecipeError
from mtkit.log import RunContext
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.training.preparation import prepare_data


def test_vectors_of_two_vocabularies_are_not_shared_even_if_their_sizes_agree(
    toy: Path, tmp_path: Path
) -> None:
    """Both sides of the toy corpus have the same letters, so nothing but the setting tells them apart."""
    run = RunContext(quiet=True)
    apart = SubwordSettings(pieces=12, byte_fallback=False, share="none")
    learn_subword(apart, SubwordInputs(toy / "corpus"), tmp_path / "subword", run)
    settings = TrainSettings(until=Until(updates=1), model=ModelSettings(tied_embeddings="all"))
    with pytest.raises(RecipeError, match="vocabularies of their own"):
        prepare_data(settings, toy / "corpus", tmp_path / "subword", tmp_path / "batches", run)
    assert not (tmp_path / "batches").exists()
