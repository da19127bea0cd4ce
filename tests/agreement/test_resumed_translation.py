"""Resumed = uninterrupted, byte for byte, in every format, wherever the file was cut."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.stand_ins import write_model
from mtkit.cli.main import mtkit
from mtkit.config.search import SearchSettings
from mtkit.errors import DataError, RecipeError
from mtkit.files import canonical_hash, write_lines, write_text
from mtkit.model.folder import read_card
from mtkit.translation.resuming import NOTE_FORMAT, note_of

FORMATS = [
    (),
    ("--scores",),
    ("--n-best", "2"),
    ("--json",),
    ("--json", "--n-best", "2"),
    ("--document",),
    ("--document", "--json"),
    ("--document=paragraphs",),
]
Translate = Callable[..., str]


def made(toy: Path, folder: Path, seed: int, languages: tuple[str, str]) -> Path:
    return write_model(
        folder / "model",
        toy / "subword",
        seed=seed,
        source_language=languages[0],
        target_language=languages[1],
        normalize="nfc",
        max_tokens=12,
        decoding=SearchSettings(beam_size=2, max_length_factor=0.5, max_length_extra=4),
    )


@pytest.fixture(scope="module")
def model(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(toy, tmp_path_factory.mktemp("resumed"), 4, ("aa", "bb"))


@pytest.fixture
def translate(model: Path, tmp_path: Path) -> Translate:
    """Translates `text` to a file with options and gives what was said."""
    draw = random.Random(3)
    lines = ["".join(draw.choices("abcdef ", k=draw.randint(0, 30))) for _ in range(400)]
    lines[7], lines[50], lines[51] = "\x00a\u2028b\r", "- abc def", "  fed cba"
    write_text(tmp_path / "text", "\n".join(lines) + "\n")

    def run(*options: str) -> str:
        asked = ["translate", "--model", str(model), "--input", str(tmp_path / "text"), "--threads", "1"]
        result = CliRunner().invoke(mtkit, [*asked, *options])
        if result.exception is not None:
            raise result.exception
        assert result.stdout == ""
        return result.stderr

    return run


@pytest.mark.parametrize("options", FORMATS, ids=" ".join)
def test_wherever_a_file_was_cut_it_is_resumed_to_the_same_bytes(
    translate: Translate, tmp_path: Path, options: tuple[str, ...]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    said = translate(*options, "--output", str(whole))
    written = whole.read_bytes()
    draw = random.Random(8)
    for cut in (0, len(written), *(draw.randrange(len(written)) for _ in range(3))):
        out.write_bytes(written[:cut])
        again = translate(*options, "--resume", str(out))
        assert out.read_bytes() == written
        assert "there is no note" in again or not cut
    assert ("400 lines in" in said) == (not options or not options[0].startswith("--document"))


def test_a_document_has_as_many_lines_as_its_text(translate: Translate, tmp_path: Path) -> None:
    translate("--document", "--output", str(tmp_path / "out"))
    text, out = ((tmp_path / name).read_bytes().split(b"\n") for name in ("text", "out"))
    assert len(text) == len(out)
    blank = [place for place, line in enumerate(text) if not line.strip()]
    assert blank and all(out[place] == text[place] for place in blank)
    assert out[50].startswith(b"- ") and out[51].startswith(b"  ")


def test_what_made_the_file_is_compared(translate: Translate, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("abc\n")
    with pytest.raises(DataError, match="is not what these options write"):
        translate("--resume", str(out), "--json")
    note = tmp_path / "out.unfinished"
    assert not note.exists(), "what did not fit has made nothing"
    made_by = {"format": "--json", "document": False}
    write_lines(note, [json.dumps({"format": NOTE_FORMAT, "made_by": made_by})])
    with pytest.raises(RecipeError, match="begun with something else: format --json → plain text"):
        translate("--resume", str(out))
    note.unlink()
    translate("--resume", str(out))
    assert out.read_bytes().startswith(b"abc\n") and out.read_bytes().count(b"\n") == 400
    with pytest.raises(RecipeError, match="would go to"):
        translate("--resume", str(out), "--output", str(tmp_path / "other"))


def test_a_reverse_model_that_was_trained_anew_is_another(
    translate: Translate, toy: Path, tmp_path: Path
) -> None:
    out, reverse = tmp_path / "out", made(toy, tmp_path, 5, ("bb", "aa"))
    out.write_text("a\n")
    files = canonical_hash(read_card(reverse).files)
    note = {"format": NOTE_FORMAT, "made_by": {"rerank": [files, None]}}
    write_lines(note_of(out), [json.dumps(note)])
    translate("--resume", str(out), "--rerank-by", str(reverse))
    assert out.read_bytes().count(b"\n") == 400
    note["made_by"] = {"rerank": ["0" * 64, None]}
    write_lines(note_of(out), [json.dumps(note)])
    with pytest.raises(RecipeError, match="begun with something else: another rerank"):
        translate("--resume", str(out), "--rerank-by", str(reverse))


def test_a_reverse_model_that_was_converted_since_ranks_by_other_files(
    translate: Translate, toy: Path, tmp_path: Path
) -> None:
    out, reverse = tmp_path / "out", made(toy, tmp_path, 5, ("bb", "aa"))
    out.write_text("a\n")
    for noted, told in ((["TorchEngine", ""], ""), (["CTranslate2Engine", "abc"], "rerank engine")):
        note = {"format": NOTE_FORMAT, "made_by": {"rerank engine": noted}}
        write_lines(note_of(out), [json.dumps(note)])
        if told:
            with pytest.raises(RecipeError, match=f"begun with something else: {told}"):
                translate("--resume", str(out), "--rerank-by", str(reverse))
        else:
            translate("--resume", str(out), "--rerank-by", str(reverse))
            assert out.read_bytes().count(b"\n") == 400
