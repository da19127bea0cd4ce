"""In which scripts a language or a text is written, and what of a text is in another."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

# A script is named by the first word of its letters' Unicode names.
_CHINESE = frozenset({"CJK", "BOPOMOFO"})
_JAPANESE = frozenset({"CJK", "HIRAGANA", "KATAKANA"})
_BY_SCRIPT: dict[frozenset[str], str] = {
    frozenset(
        {"LATIN"}
    ): "af az bs ca ceb cs cy da de en eo es et eu fi fil fo fr fy ga gd gl ha haw hr ht hu"
    " id ig is it jv la lb lt lv mg mi ms mt nb nl nn no oc pl pt qu rm ro rw sk sl sm sn so sq st su sv sw"
    " tk tl tn to tr uz vi wo xh yo zu",
    frozenset({"CYRILLIC"}): "ab ba be bg ce cv kk ky mk mn ru tg tt udm uk",
    frozenset({"CYRILLIC", "LATIN"}): "sr",
    frozenset({"ARABIC"}): "ar arz ckb fa ps sd ug ur",
    frozenset({"DEVANAGARI"}): "bho hi mai mr ne sa",
    frozenset({"HEBREW"}): "he iw yi",
    frozenset({"ETHIOPIC"}): "am ti",
    frozenset({"BENGALI"}): "as bn",
    frozenset({"GREEK"}): "el",
    frozenset({"ARMENIAN"}): "hy",
    frozenset({"GEORGIAN"}): "ka",
    frozenset({"GUJARATI"}): "gu",
    frozenset({"GURMUKHI"}): "pa",
    frozenset({"KANNADA"}): "kn",
    frozenset({"MALAYALAM"}): "ml",
    frozenset({"ORIYA"}): "or",
    frozenset({"SINHALA"}): "si",
    frozenset({"TAMIL"}): "ta",
    frozenset({"TELUGU"}): "te",
    frozenset({"THAI"}): "th",
    frozenset({"LAO"}): "lo",
    frozenset({"KHMER"}): "km",
    frozenset({"MYANMAR"}): "my",
    frozenset({"TIBETAN"}): "bo dz",
    frozenset({"THAANA"}): "dv",
    frozenset({"HANGUL", "CJK"}): "ko",
    _JAPANESE: "ja",
    _CHINESE: "zh yue wuu lzh",
}
_OF_LANGUAGE = {language: scripts for scripts, names in _BY_SCRIPT.items() for language in names.split()}
# the codes of ISO 15924, where a language's code says how it is written: sr-Latn, zho_Hans
_OF_CODE = {
    "latn": frozenset({"LATIN"}),
    "cyrl": frozenset({"CYRILLIC"}),
    "arab": frozenset({"ARABIC"}),
    "deva": frozenset({"DEVANAGARI"}),
    "grek": frozenset({"GREEK"}),
    "hebr": frozenset({"HEBREW"}),
    "hans": _CHINESE,
    "hant": _CHINESE,
    "jpan": _JAPANESE,
}
# Scripts that are not to be told apart by what a text has most of: whoever writes the first writes them all.
_WRITTEN_WITH = {"HIRAGANA": _JAPANESE, "HANGUL": frozenset({"HANGUL", "CJK"})}
# A text is written in a script that has most letters of so many of its lines, if the language is known to be,
_SHARE_OF_OWN = 0.1
# and otherwise of so many. Less are names, commands and addresses: of the lines of translated Linux programs
# 7 % in Russian, 14 % in Greek, 21 % in Chinese and 25 % in Japanese are mostly Latin.
_SHARE_OF_OTHERS = 0.33
# first words of letters' names that name no script
_OF_NO_SCRIPT = {
    "MATHEMATICAL",
    "MODIFIER",
    "DOUBLE-STRUCK",
    "FEMININE",
    "MASCULINE",
    "SCRIPT",
    "BLACK-LETTER",
}


def scripts_of(language: str) -> frozenset[str]:
    """The scripts that a language is written in; none where that is not known.

    Args:
        language: its code, with or without region and script: `de`, `zh-Hant`, `sr_Latn`.
    """
    first, *rest = re.split("[-_]", language.casefold())
    for code in rest:
        if code in _OF_CODE:
            return _OF_CODE[code]
    return _OF_LANGUAGE.get(first, frozenset())


def written_in(lines: Iterable[str], language: str) -> list[str]:
    """The scripts that a text is written in, sorted; those of names and terms in it left out.

    Args:
        lines: of the text, or a sample of them.
        language: its code.
    """
    own = scripts_of(language)
    mostly: Counter[str] = Counter()
    for line in lines:
        if found := Counter(_scripts([line])).most_common(1):
            mostly[found[0][0]] += 1
    used = {
        script
        for script, count in mostly.items()
        if count >= (_SHARE_OF_OWN if script in own else _SHARE_OF_OTHERS) * mostly.total()
    }
    return sorted(used.union(*(_WRITTEN_WITH.get(script, ()) for script in used)))


def is_wrong_script(source: str, text: str, language: str, learnt: frozenset[str] = frozenset()) -> bool:
    """True if most letters of a translation are of another script than they should be.

    Words that stand in the source too, as names and addresses do, are left out.

    Args:
        source: the source line.
        text: its translation.
        language: code of the target language.
        learnt: the scripts of what the model was trained on; none: those of the language are right.
    """
    wanted = learnt or scripts_of(language)
    if not wanted or (text.isascii() and "LATIN" in wanted):
        return False
    copied = set(source.casefold().split())
    words = [word for word in text.split() if word.casefold() not in copied]
    found = list(_scripts(words))
    return 2 * sum(script in wanted for script in found) < len(found)


def _scripts(words: list[str]) -> Iterator[str]:
    for word in words:
        for letter in word:
            if letter.isalpha() and (script := _script(letter)):
                yield script


@lru_cache(maxsize=1 << 14)
def _script(letter: str) -> str:
    """The script of a letter; empty if it has none."""
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "").split(" ")[0]
    return "" if name in _OF_NO_SCRIPT else name
