"""Rules that strip what is no language from interface texts: markup and access keys. Pure, one text each."""

import html
import re
from collections.abc import Callable, Sequence

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*\)")
_EMPHASIS = re.compile(r"(\*\*|__|``|`)(?=\S)(.+?)(?<=\S)\1")
_ESCAPED_BREAK = re.compile(r"\\[nrt]")
_KEY_BEFORE = re.compile(r"(?<![\w&])&(?=\w)|(?<=\w)&(?=[a-zäöü])")
_KEY_AFTER = re.compile(r"\s*\(&\w\)")


def strip_markup(text: str) -> str:
    """Without HTML tags, Markdown links (their text stays), emphasis, backticks; entities as characters.

    Tags are taken out after entities only once, so that an escaped `&lt;b&gt;` stays readable as `<b>`.
    """
    text = _TAG.sub(" ", text) if "<" in text else text
    text = _LINK.sub(r"\1", text) if "](" in text else text
    text = _EMPHASIS.sub(r"\2", text)
    text = _ESCAPED_BREAK.sub(" ", text) if "\\" in text else text
    return html.unescape(text) if "&" in text else text


def strip_access_keys(text: str) -> str:
    """Without the marks of access keys: `&File`, `Datei (&D)`, `Spei&chern`; a lone `&` stays."""
    if "&" not in text:
        return text
    return _KEY_BEFORE.sub("", _KEY_AFTER.sub("", text))


RULES: dict[str, Callable[[str], str]] = {"markup": strip_markup, "access-keys": strip_access_keys}


def stripper(rules: Sequence[str]) -> Callable[[str], str]:
    """One function for several rules, in their order."""
    chosen = [RULES[rule] for rule in rules]

    def strip(text: str) -> str:
        for rule in chosen:
            text = rule(text)
        return text

    return strip
