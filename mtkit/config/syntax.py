"""What the YAML parser complains about, said for people; the rules of indentation are the hard part."""

import re

import yaml

from mtkit.config.nodes import Place, Text
from mtkit.config.problems import Problem

# (part of the parser's message, what was found, what to do)
_SAYINGS = (
    ("mapping values are not allowed", "a ':' where no key can stand",
     "Check the indentation; put text that holds ': ' in quotes."),
    ("found character '\\t'", "a tab in the indentation", "Indent with spaces."),
    ("could not find expected ':'", "a line without ':'", "Write `key: value`, with a space after `:`."),
    ("while scanning a quoted scalar", "a quote that is never closed", "Close it; double a quote inside it."),
    ("expected ',' or ']'", "a list that is not closed here", "Separate items by commas, close with `]`."),
    ("expected ',' or '}'", "a mapping that is not closed here", "Separate entries by `,`, close with `}`."),
    ("but found '<block mapping start>'", "a line indented unlike its neighbours",
     "Indent it as far as the keys beside it."),
    ("but found '-'", "a list item where a key belongs", "Check the indentation of this line."),
    ("expected <block end>", "something that does not fit here", "Check indentation and brackets."),
    ("block sequence entries are not allowed", "a list item where no list can begin",
     "Put the list on the lines after its key."),
    ("unknown escape character", "an unknown escape in a quoted text", "Write `\\\\` for a backslash."),
    ("cannot start any token", "a character that cannot begin a value", "Put the text in quotes."),
    ("undefined alias", "an alias", "Write the value out."),
)  # fmt: skip


def syntax_problem(error: yaml.YAMLError, text: Text, offset: int) -> Problem:
    """The problem behind a parser's error, `offset` being where its text begins in `text`."""
    if isinstance(error, yaml.reader.ReaderError):
        at = offset + error.position
        name = f"U+{ord(error.character) if isinstance(error.character, str) else error.character:04X}"
        return Problem(
            Place(text, at, at + 1), "", f"the control character {name}", "printable text", "Remove it."
        )
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark or error.context_mark
    message = f"{error.context or ''} {error.problem or ''}"
    found, advice = _said(message, text.content[offset:], mark.index if mark else 0)
    if error.context_mark is not None and ("never closed" in found or "without ':'" in found):
        mark = error.context_mark  # where it begins, not where the parser gave up
    index = mark.index if mark else 0
    at = min(offset + index, max(len(text.content) - 1, 0))
    return Problem(Place(text, at, at + 1), "", f"cannot be read as YAML: {found}", "", advice)


def _said(message: str, content: str, index: int) -> tuple[str, str]:
    line = content[content.rfind("\n", 0, index) + 1 : index + 1]
    if re.fullmatch(r" *\t\s*", line):
        message = "found character '\\t'"
    for part, found, advice in _SAYINGS:
        if part in message:
            return found, advice
    return message.strip(), "Check this line and the one before it."
