import json
from pathlib import Path

import pytest

from benchmarks.cold_start import Row, convert_unproved, own_command, surroundings, table
from benchmarks.measuring import Spent, spent
from benchmarks.stand_ins import write_model
from mtkit.model.folder import read_card
from mtkit.translation.converted import check_converted


@pytest.fixture
def made(toy: Path, tmp_path: Path) -> Path:
    folder = write_model(
        tmp_path / "model",
        toy / "subword",
        seed=1,
        source_language="en",
        target_language="de",
        normalize="nfc",
    )
    convert_unproved(folder, "int8")
    return folder


def test_a_made_model_passes_every_check_and_translates_by_ctranslate2(made: Path, tmp_path: Path) -> None:
    certificate = check_converted(made, read_card(made))
    assert certificate.quantization == "int8"
    assert certificate.probe == {}
    work, source = tmp_path / "work", tmp_path / "sentence"
    work.mkdir()
    source.write_text("abc\n", "utf-8")
    command = [*own_command(made), "--json", "--engine", "ctranslate2"]
    spent(command, work, surroundings(work), None, source)
    (line,) = (work / "printed").read_text("utf-8").splitlines()
    assert json.loads(line)["source"] == "abc"
    assert list((work / "bytecode").rglob("translate.*.pyc"))


def test_memory_is_told_in_model_files_and_the_libraries_have_none() -> None:
    alone, own = Row("–", "libraries", 0.0), Row("demo", "mtkit translate", 20.0)
    for row in (alone, own):
        for seconds in (0.3, 0.1, 0.2):
            row.add(Spent(seconds / 2, seconds, 50.0))
    result = {
        "date": "2026-11-24",
        "machine": {"processor": "P", "cores": 2, "python": "3.11.7"},
        "versions": {"ctranslate2": "4"},
        "rounds": 3,
        "note": "",
        "rows": [vars(alone), vars(own)],
    }
    first, second = table(result).splitlines()[-2:]
    assert first == "| – | libraries | 0.20 (0.10 to 0.30) | 0.10 (0.05 to 0.15) | 50.0 | – |"
    assert second.startswith("| demo (20.0 MB) | mtkit translate | 0.20 (0.10 to 0.30) |")
    assert second.endswith("| 50.0 | 2.5 |")
