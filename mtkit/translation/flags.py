"""What can be seen against a translation without knowing its language: flags, each a plain fact.

Flags never change a translation; they are counted, shown and written beside it.
"""

from collections import Counter
from collections.abc import Sequence

FLAGS = {
    "empty": "the source line is blank; nothing was translated",
    "split": "the source was too long for the model: translated in parts and rejoined",
    "truncated": "search reached its length limit before the translation ended",
    "repeated": "the translation repeats itself more than the source does",
    "copied": "the translation is the source, untranslated",
    "unknown": "the source has characters that the model has no piece for",
    "vanished": "the source has text, the translation has none",
}

LONGEST_LOOP = 12  # words or characters of a unit that repeats
WORD_EXCESS = 3  # times that a word or phrase follows itself beyond the source's own repetition
CHARACTER_EXCESS = 7  # the same for one character: `-------` is a line, not a loop
SYLLABLE_EXCESS = 4  # and for two characters or more: `hahahaha`, or a script without spaces
PHRASE_WORDS = 4  # a phrase of so many words that comes back with something in between …
PHRASE_EXCESS = 4  # … so many times more often than in the source


def find_flags(
    source: str, text: str, *, parts: int = 1, finished: bool = True, unknown: bool = False
) -> tuple[str, ...]:
    """The flags of one translation, in the order of `FLAGS`.

    Args:
        source: the normalised source line.
        text: its translation.
        parts: how many parts the line was translated in.
        finished: False if search stopped a part at its length limit.
        unknown: True if a source token is the unknown piece.
    """
    if is_blank(source):
        return ("empty",)
    found = {
        "split": parts > 1,
        "truncated": not finished,
        "repeated": is_repeated(source, text),
        "copied": is_copied(source, text),
        "unknown": unknown,
        "vanished": is_blank(text),
    }
    return tuple(name for name, holds in found.items() if holds)


def is_blank(text: str) -> bool:
    """True if there is nothing but white space."""
    return not text.strip()


def is_copied(source: str, text: str) -> bool:
    """True if the translation is the source but for case and spacing, and has letters."""
    folded = text.casefold().split()
    return folded == source.casefold().split() and any(character.isalpha() for character in text)


def is_repeated(source: str, text: str) -> bool:
    """True if the translation loops: a word, phrase or syllable over and over, more than in the source."""
    words, source_words = text.casefold().split(), source.casefold().split()
    letters, source_letters = "".join(words), "".join(source_words)
    return (
        longest_loop(words) >= longest_loop(source_words) + WORD_EXCESS
        or longest_loop(letters, 1, 1) >= longest_loop(source_letters, 1, 1) + CHARACTER_EXCESS
        or longest_loop(letters, 2) >= longest_loop(source_letters, 2) + SYLLABLE_EXCESS
        or _commonest_phrase(words) >= _commonest_phrase(source_words) + PHRASE_EXCESS
    )


def longest_loop(tokens: Sequence[str], shortest: int = 1, longest: int = LONGEST_LOOP) -> int:
    """How many times in a row a unit of `shortest` to `longest` tokens stands, at most; 1: no loop."""
    most = 1
    for unit in range(shortest, min(longest, len(tokens) // 2) + 1):
        run = 0
        for here, before in zip(tokens[unit:], tokens, strict=False):
            run = run + 1 if here == before else 0
            if run >= most * unit:
                most = run // unit + 1
    return most


def _commonest_phrase(words: Sequence[str]) -> int:
    """How often the commonest run of `PHRASE_WORDS` words stands in the text; at least 1."""
    phrases = Counter(tuple(words[at : at + PHRASE_WORDS]) for at in range(len(words) - PHRASE_WORDS + 1))
    return max(phrases.values(), default=1)
