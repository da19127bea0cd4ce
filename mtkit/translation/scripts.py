"""In which script a language is written, and what of a text is in another."""

import re
import unicodedata
from collections.abc import Iterator
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


def is_wrong_script(source: str, text: str, language: str) -> bool:
    """True if most letters of a translation are of another script than the target language's.

    Words that stand in the source too, as names and addresses do, are left out.
    """
    wanted = scripts_of(language)
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
