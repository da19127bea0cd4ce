import shutil
from pathlib import Path

import pytest

from mtkit.config.export import ExportSettings
from mtkit.config.subword import SubwordSettings
from mtkit.errors import ModelError
from mtkit.export.convert import convert
from mtkit.export.probe import corpus_lines
from mtkit.files import read_json, write_json
from mtkit.log import RunContext
from mtkit.model.folder import read_card, subword_folder
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.translation.converted import (
    CERTIFICATE,
    CONVERTED,
    OWN_HASH,
    check_converted,
    is_converted,
    read_certificate,
)
from mtkit.translation.ctranslate2_loading import open_again


@pytest.fixture
def converted(reversing_model: Path, toy: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own, exported."""
    folder = shutil.copytree(reversing_model, tmp_path / "model")
    convert(folder, folder / CONVERTED, ExportSettings(), corpus_lines(toy / "corpus", 5), say=print)
    return folder


def test_a_whole_one_is_accepted_with_what_was_found(converted: Path, reversing_model: Path) -> None:
    assert is_converted(converted) and not is_converted(reversing_model)
    certificate = check_converted(converted, read_card(converted))
    assert certificate == read_certificate(converted)
    assert certificate.probe == {"valid": 5, "test": 5}
    assert certificate.alike == 10
    assert certificate.line().startswith("float32: 10 of 10 probe lines alike, token for token · bleu ")


def test_a_model_that_was_never_converted_says_how(reversing_model: Path) -> None:
    with pytest.raises(ModelError, match="mtkit export ctranslate2"):
        read_certificate(reversing_model)


@pytest.mark.parametrize("name", ["model.bin", "shared_vocabulary.json", "config.json"])
def test_a_file_that_is_not_the_certified_one_is_noticed(converted: Path, name: str) -> None:
    path = converted / CONVERTED / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="not the one that was certified") as told:
        check_converted(converted, read_card(converted))
    assert told.value.where.endswith(name)
    path.unlink()
    with pytest.raises(ModelError, match="is missing"):
        check_converted(converted, read_card(converted))


def test_a_certificate_that_is_missing_is_noticed(converted: Path) -> None:
    path = converted / CONVERTED / CERTIFICATE
    path.unlink()
    assert is_converted(converted)
    with pytest.raises(ModelError, match="certificate of the converted model is missing") as told:
        read_certificate(converted)
    assert told.value.where == str(path)
    assert told.value.advice == "Export the model again, or delete ctranslate2/: torch computes without it."
    shutil.rmtree(converted / CONVERTED)
    assert not is_converted(converted)


def test_other_vocabularies_than_the_models_are_noticed_though_they_are_whole(
    converted: Path, toy: Path, tmp_path: Path
) -> None:
    other = SubwordSettings(pieces=20, byte_fallback=False, algorithm="unigram")
    learn_subword(other, SubwordInputs(toy / "corpus"), tmp_path / "other", RunContext(quiet=True))
    shutil.copytree(tmp_path / "other", subword_folder(converted), dirs_exist_ok=True)
    Subword.load(subword_folder(converted))
    with pytest.raises(ModelError, match="not the one that was saved"):
        check_converted(converted, read_card(converted))


def test_a_conversion_of_other_weights_is_noticed(converted: Path) -> None:
    card = read_card(converted)
    other = card.model_copy(update={"files": {**card.files, "model.safetensors": "0" * 64}})
    with pytest.raises(ModelError, match="other weights"):
        check_converted(converted, other)


def test_a_certificate_that_is_none_or_newer_is_refused(converted: Path) -> None:
    path = converted / CONVERTED / CERTIFICATE
    values = read_json(path)
    write_json(path, {**values, "alike": "many"})
    with pytest.raises(ModelError, match="missing or wrong: alike"):
        read_certificate(converted)
    write_json(path, [])
    with pytest.raises(ModelError, match="not a certificate") as none:
        read_certificate(converted)
    assert "missing or wrong" not in str(none.value)
    write_json(path, {**values, "format": 99})
    with pytest.raises(ModelError, match="newer mtkit"):
        read_certificate(converted)
    write_json(path, {**values, "format": 1})
    with pytest.raises(ModelError, match="older mtkit, which searched otherwise") as told:
        read_certificate(converted)
    assert "Export the model again" in str(told.value)


def test_a_certificate_that_was_changed_is_told_and_one_of_before_there_was_a_hash_is_read(
    converted: Path,
) -> None:
    path = converted / CONVERTED / CERTIFICATE
    whole = read_certificate(converted)
    values = read_json(path)
    write_json(path, {**values, "quantization": "int8"})
    with pytest.raises(ModelError, match="not the one that was written") as told:
        read_certificate(converted)
    assert told.value.where == str(path)
    older = {name: value for name, value in values.items() if name != OWN_HASH}
    write_json(path, {**older, "format": 2})
    assert read_certificate(converted) == whole.model_copy(update={"format": 2})


def test_what_was_exported_anew_meanwhile_is_not_opened_again(converted: Path) -> None:
    card = read_card(converted)
    certificate = check_converted(converted, card)
    open_again(converted, card, certificate, 1, 1)
    other = certificate.model_copy(update={"files": {**certificate.files, "config.json": "0" * 64}})
    with pytest.raises(ModelError, match="exported anew"):
        open_again(converted, card, other, 1, 1)
