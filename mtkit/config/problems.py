"""Problems of a recipe: collected all together, shown with place, source line, caret and advice."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from mtkit.config.nodes import Place
from mtkit.errors import RecipeError

_WIDEST = 100  # columns of a quoted source line
_BEFORE = 40  # columns kept before the culprit where the line must be cut


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        place: where the culprit stands; a place of length 0 shows no source line.
        path: the dotted path in the recipe, or "" for a problem of the text itself.
        found: what was found.
        expected: what would have been right.
        advice: what to do next, as sentences.
        final: nothing else is worth telling of this path, as its value could not even be read.
        idle: the culprit is a setting without effect, which changes nothing if it is left out.
    """

    place: Place
    path: str
    found: str
    expected: str = ""
    advice: str = ""
    final: bool = False
    idle: bool = False

    def __str__(self) -> str:
        """The problem as it is printed."""
        parts = [self.place.label if self.place.start < self.place.end else self.place.file]
        if self.path:
            parts.append(self.path)
        parts.append(f"{self.found}, expected {self.expected}" if self.expected else self.found)
        lines = [": ".join(parts)]
        if self.place.start < self.place.end:
            lines += [f"    {line}" for line in excerpt(self.place)]
        if self.advice:
            lines.append(f"    {self.advice}")
        return "\n".join(lines)


def excerpt(place: Place) -> list[str]:
    """The source line of a place, and a line of carets under the place."""
    whole = place.text.line(place.start)
    line = whole.rstrip()
    first = place.column - 1
    last = min(first + place.end - place.start, max(len(line), first + 1))
    indent = len(line) - len(line.lstrip())
    line, first, last = line[indent:], max(first - indent, 0), max(last - indent, 1)
    if len(line) > _WIDEST:
        cut = max(0, first - _BEFORE)
        line, first, last = line[cut:], first - cut, last - cut
        if cut:
            line, first, last = "…" + line, first + 1, last + 1
        if len(line) > _WIDEST:
            line = line[: _WIDEST - 1] + "…"
        last = min(last, len(line))
    carets = "^" * max(1, _columns(line[first:last]))
    return [line.replace("\t", " "), " " * _columns(line[:first]) + carets]


def _columns(text: str) -> int:
    """How many columns a terminal gives to a text."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


class RecipeProblemsError(RecipeError):
    """Every problem of a recipe at once.

    Args:
        problems: at least one.
        name: the recipe as the user called it.
    """

    prefix = ""

    def __init__(self, problems: Iterable[Problem], name: str) -> None:
        self.problems = _sorted(problems, name)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {name}", where=name)

    def __str__(self) -> str:
        """All problems, then how many there are."""
        return "\n".join([*map(str, self.problems), f"{self.found}. Nothing was run."])


def _sorted(problems: Iterable[Problem], name: str) -> list[Problem]:
    """In the order of the text, the recipe before its bases; one place's message is said once.

    A setting copied by `like` brings its problem along under another path.
    """
    told = list(problems)
    unread = {problem.path for problem in told if problem.final}
    unique: dict[tuple[Place, str, str], Problem] = {}
    for problem in told:
        if problem.path in unread and not problem.final:
            continue
        unique.setdefault(
            (problem.place, problem.found, problem.path if _is_nowhere(problem) else ""), problem
        )
    return sorted(unique.values(), key=lambda p: (p.place.file != name, p.place.file, p.place.start))


def _is_nowhere(problem: Problem) -> bool:
    return problem.place.start == problem.place.end or problem.found == "missing"


def one_of(words: Iterable[str]) -> str:
    """`a, b or c`."""
    listed = list(words)
    return (
        listed[0]
        if len(listed) == 1
        else ", ".join(listed[:-1]) + " or " + listed[-1]
        if listed
        else "nothing"
    )
