"""Where sentences end, by the rules and abbreviations of the language. The door to sentencex."""

from collections.abc import Iterator

from mtkit.config.languages import primary_subtag

STRETCH_CHARACTERS = 2000  # looked at together: nested quotation marks cost the library the square of this


def sentence_ends(text: str, language: str) -> Iterator[int]:
    """Positions behind each sentence of a line but the last, white space behind a sentence included.

    Args:
        text: a normalised line.
        language: code of the text's language, of which region and script do not matter; the rules of an
            unknown one are those of English.
    """
    start, language = 0, primary_subtag(language)
    while start < len(text):
        stretch = text[start : start + STRETCH_CHARACTERS]
        at, last = start, start + len(stretch) == len(text)
        for sentence in _segment(stretch, language)[:-1]:
            at += len(sentence)
            yield at
        if last:
            return
        # the last sentence of a stretch goes on in the next, which begins where this sentence does
        start = at if at > start else start + len(stretch)


def _segment(text: str, language: str) -> list[str]:
    """The sentences, which together are the text; the whole text where the library fails."""
    from sentencex import segment

    try:
        sentences: list[str] = segment(language, text)
    except BaseException as error:
        # what a failure inside the library raises is no Exception; seen on line separators, which a
        # normalised line has none of
        if type(error).__name__ != "PanicException":
            raise
        return [text]
    return sentences if "".join(sentences) == text else [text]
