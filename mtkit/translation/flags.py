"""What can be seen against a translation without knowing its language: flags, each a plain fact.

Flags never change a translation; they are counted, shown and written beside it, and `--strict` asks for
them. That a loop is searched again is the translator's doing.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mtkit.translation.scripts import is_wrong_script

FLAGS = {
    "empty": "the source line is blank; nothing was translated",
    "split": "the source was too long for the model: translated in parts and rejoined",
    "truncated": "search reached its length limit before the translation ended",
    "repeated": "the translation repeats itself more than the source does",
    "retried": "the translation repeated itself and was searched again with repetition blocked",
    "copied": "the translation is the source, untranslated",
    "unknown": "the source has characters that the model has no piece for",
    "vanished": "the source has text, the translation has none",
    "invented": "the source has no letter and no digit, the translation has",
    "broken": "the model wrote bytes that are no UTF-8; what they should have been shows as U+FFFD",
    "length_ratio": "the translation is far shorter or longer than the source, in tokens",
    "low_confidence": "the model gives the tokens of the translation low probabilities",
    "wrong_script": "most letters of the translation are of a script that the model has not learnt to write",
    "invalid_utf8": "the source has bytes that are no UTF-8; each was replaced by U+FFFD",
}
HARMLESS_FLAGS = ("empty", "split", "retried")  # what `--strict` alone allows

# White space, the blank of braille, and what is ignored where it cannot be shown: joiners, variation
# selectors, fillers, tags (Default_Ignorable_Code_Point, Unicode Standard Annex 44).
_UNSEEN = re.compile(
    "[\\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]*"
)
LONGEST_LOOP = 12  # words or characters of a unit that repeats
WORD_EXCESS = 3  # times that a word or phrase follows itself beyond the source's own repetition
CHARACTER_EXCESS = 7  # the same for one character: `-------` is a line, not a loop
SYLLABLE_EXCESS = 4  # and for two characters or more: `hahahaha`, or a script without spaces
PHRASE_WORDS = 4  # a phrase of so many words that comes back with something in between …
PHRASE_EXCESS = 4  # … so many times more often than in the source
LENGTH_RATIO = 3  # one side has more than so many times the tokens of the other …
LENGTH_SLACK = 10  # … and so many more
# A token, on average: less than one chance in four or five. The demo recipe's model has at most 1.27 on 400
# test lines (99 % below 1.12), and above 1.5 on 99 of 100 lines of random characters.
LOW_CONFIDENCE_NATS = 1.5


@dataclass(frozen=True)
class Known:
    """What is known of a translation beside its text.

    Attributes:
        parts: how many parts the line was translated in.
        split: True if that is because it was too long for the model.
        finished: False if search stopped a part at its length limit.
        unknown: True if a source token is the unknown piece.
        invalid: True if the line held bytes that are no UTF-8.
        retried: True if a part was searched a second time because it looped.
        source_tokens: EOS not counted; None: not known.
        target_tokens: the same of the translation.
        log_probability: of the translation, in nats, EOS counted.
        language: code of the target language.
        scripts: those that the model has learnt to write; none: not known, so the language's.
    """

    parts: int = 1
    split: bool = False
    finished: bool = True
    unknown: bool = False
    invalid: bool = False
    retried: bool = False
    source_tokens: int | None = None
    target_tokens: int = 0
    log_probability: float = 0.0
    language: str = ""
    scripts: frozenset[str] = frozenset()

    @property
    def odd_length(self) -> bool:
        """True if one side has far more tokens than the other."""
        if self.source_tokens is None:
            return False
        shorter, longer = sorted((self.source_tokens, self.target_tokens))
        return longer > LENGTH_RATIO * shorter + LENGTH_SLACK

    @property
    def unsure(self) -> bool:
        """True if a token's probability is low on average (geometric mean)."""
        return -self.log_probability > LOW_CONFIDENCE_NATS * (self.target_tokens + self.parts)


def find_flags(source: str, text: str, known: Known | None = None) -> tuple[str, ...]:
    """The flags of one translation, in the order of `FLAGS`.

    Args:
        source: the normalised source line.
        text: its translation.
        known: what else is known of it.
    """
    known = known or Known()
    blank = is_blank(source)
    found = {
        "empty": blank,
        "split": known.split,
        "truncated": not blank and not known.finished,
        "repeated": is_repeated(source, text),
        "retried": known.retried,
        "copied": is_copied(source, text),
        "unknown": known.unknown,
        "vanished": not blank and is_blank(text),
        "invented": not blank and not has_letters(source) and has_letters(text),
        "broken": "\ufffd" in text and "\ufffd" not in source,
        "length_ratio": not blank and known.odd_length,
        "low_confidence": not blank and known.unsure,
        "wrong_script": is_wrong_script(source, text, known.language, known.scripts),
        "invalid_utf8": known.invalid,
    }
    return tuple(name for name, holds in found.items() if holds)


def is_blank(text: str) -> bool:
    """True if there is nothing to be seen."""
    return _UNSEEN.fullmatch(text) is not None


def has_letters(text: str) -> bool:
    """True if there is a letter or a digit of any script."""
    return any(character.isalnum() for character in text)


def is_copied(source: str, text: str) -> bool:
    """True if the translation is the source but for case and spacing, and has letters."""
    folded = text.casefold().split()
    return folded == source.casefold().split() and any(character.isalpha() for character in text)


def is_repeated(source: str, text: str) -> bool:
    """True if the translation loops: a word, phrase or syllable over and over, more than in the source."""
    words = text.casefold().split()
    letters = "".join(words)
    if not _may_loop(words, letters):
        return False
    source_words = source.casefold().split()
    source_letters = "".join(source_words)
    return (
        longest_loop(words) >= longest_loop(source_words) + WORD_EXCESS
        or longest_loop(letters, 1, 1) >= longest_loop(source_letters, 1, 1) + CHARACTER_EXCESS
        or longest_loop(letters, 2) >= longest_loop(source_letters, 2) + SYLLABLE_EXCESS
        or _commonest_phrase(words) >= _commonest_phrase(source_words) + PHRASE_EXCESS
    )


def _may_loop(words: Sequence[str], letters: str) -> bool:
    """False if the text itself repeats nothing so often that the source needs to be looked at."""
    return (
        longest_loop(words) > WORD_EXCESS
        or longest_loop(letters, 1, 1) > CHARACTER_EXCESS
        or longest_loop(letters, 2) > SYLLABLE_EXCESS
        or _commonest_phrase(words) > PHRASE_EXCESS
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
