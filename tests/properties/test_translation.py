from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stand_ins import Copying
from mtkit.corpus.normalize import normalize
from mtkit.translation.document import blocks
from mtkit.translation.flags import FLAGS, find_flags, is_blank, is_repeated
from mtkit.translation.long_input import rejoin, split_line
from mtkit.translation.sentences import sentence_ends
from mtkit.translation.translator import Translator

QUICK = settings(max_examples=60, deadline=None)
LINE = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=80)
WORDS = st.lists(st.text(alphabet="abcdefghij", min_size=1, max_size=6), min_size=1, max_size=12)


COPYING = Copying()
BYTES = st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b""))
LAYOUT = st.sampled_from(
    ["", "  ", "- ", "> ", "1. ", "\t", "---", "word", "Dr.", "a b c.", "\r", "我们。", "\udcff"]
)


@QUICK
@given(st.lists(LINE, max_size=20), st.booleans())
def test_there_are_as_many_translations_as_lines_whatever_the_text(lines: list[str], live: bool) -> None:
    translator = Translator(COPYING, COPYING, form="none", limit=21, batch_tokens=50)
    found = list(translator.translate(iter(lines), live=live))
    assert [translation.source for translation in found] == lines
    for line, translation in zip(lines, found, strict=True):
        assert len(translation.text.splitlines()) <= 1
        normal = normalize(line, "none")
        kept = "" if is_blank(normal) else normal
        assert "".join(translation.text.split()) == "".join(kept.split())
        assert set(translation.flags) <= FLAGS.keys()
        assert ("empty" in translation.flags) == (not kept)
        assert translation.to_json(1).splitlines() == [translation.to_json(1)]


@QUICK
@given(LINE, st.integers(1, 30), st.integers(1, 3))
def test_splitting_loses_nothing_but_white_space(line: str, limit: int, weight: int) -> None:
    text = normalize(line, "nfc")
    parts = split_line(text, limit, lambda some: weight * len(some))
    assert "".join("".join(part.text.split()) for part in parts) == "".join(text.split())
    for part in parts:
        assert part.text == part.text.strip()


@QUICK
@given(WORDS, st.integers(1, 40))
def test_splitting_and_rejoining_words_gives_the_line_again(words: list[str], limit: int) -> None:
    line = " ".join(words)
    parts = split_line(line, limit, len)
    assert rejoin(parts, [part.text for part in parts]) == line
    assert all(len(part.text) <= limit for part in parts)


@QUICK
@given(st.lists(st.text(alphabet="abcdefghij", min_size=1, max_size=6), min_size=1, max_size=8, unique=True))
def test_a_loop_is_flagged_and_its_source_of_itself_is_not(phrase: list[str]) -> None:
    plain = " ".join(phrase)
    loop = " ".join(phrase * 8)
    assert is_repeated("source", loop)
    assert not is_repeated(plain, plain)
    assert not is_repeated(loop, loop)


@QUICK
@given(LINE, LINE)
def test_flags_never_fail_and_come_in_order(source: str, text: str) -> None:
    flags = find_flags(source, text)
    assert list(flags) == [name for name in FLAGS if name in flags]


@QUICK
@given(st.lists(BYTES, max_size=12))
def test_bytes_of_any_kind_are_lines_of_characters_and_what_is_none_is_told(raw: list[bytes]) -> None:
    translator = Translator(COPYING, COPYING, form="none", limit=21, batch_tokens=50)
    lines = [line.decode("utf-8", "surrogateescape") for line in raw]
    found = list(translator.translate(lines))
    assert len(found) == len(lines)
    for line, translation in zip(raw, found, strict=True):
        translation.to_json(1).encode("utf-8")
        if (whole := line.decode("utf-8", "ignore").encode()) == line:
            assert translation.source.encode() == line
        else:
            assert translation.source.count("\ufffd") >= len(line) - len(whole)
        assert ("invalid_utf8" in translation.flags) == (whole != line)


@QUICK
@given(st.lists(st.lists(LAYOUT, max_size=4).map("".join) | LINE, max_size=20))
def test_a_document_of_any_kind_is_its_blocks_and_keeps_its_lines(lines: list[str]) -> None:
    found = list(blocks(lines, "en"))
    assert [line.before + line.text + line.after for block in found for line in block.lines] == lines
    for block in found:
        assert len(block.laid_out("x y z")) == len(block.lines)
        texts = [
            out[len(line.before) :] for out, line in zip(block.laid_out("x y z"), block.lines, strict=True)
        ]
        assert "".join("".join(texts).split()) == "xyz"
        if not block.text:
            assert block.laid_out("") == [line.before for line in block.lines]


@QUICK
@given(LINE, st.sampled_from(["en", "de", "zh", "ar", "xx", ""]))
def test_sentences_end_inside_the_text_in_order(line: str, language: str) -> None:
    text = normalize(line, "nfc")
    ends = list(sentence_ends(text, language))
    assert ends == sorted(set(ends))
    assert all(0 < end < len(text) for end in ends)
