"""The exception tree. Every user mistake is one of these; `assert` is for what cannot happen.

MtkitError            exit code 1
├── RecipeError       2   the recipe or the command line asks for something impossible
├── DataError         3   a corpus, a dataset or a text is not what it should be
├── ModelError        4   a model folder or a checkpoint cannot be used
├── FlagError         5   translations are written, some with flags that `--strict` does not allow
└── RunError          1   the machine, the store or the disk stands in the way
"""


class MtkitError(Exception):
    """A mistake that a user can mend, told in four parts.

    Args:
        found: what was found, quoted where it is somebody's text; the first sentence a reader sees.
        where: the place: `file:line`, a path in the recipe, a line of the corpus.
        expected: what would have been right.
        advice: what to do next, as an imperative sentence.
    """

    exit_code = 1
    prefix = "error: "  # what the command line prints before the message

    def __init__(self, found: str, *, where: str = "", expected: str = "", advice: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.where = where
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        """The message as it is printed: one line, then what was expected and what to do, indented."""
        lines = [f"{self.where}: {self.found}" if self.where else self.found]
        if self.expected:
            lines.append(f"    Expected: {self.expected}")
        if self.advice:
            lines.append(f"    Next: {self.advice}")
        return "\n".join(lines)


class RecipeError(MtkitError):
    """The recipe or the command line asks for something that cannot be done."""

    exit_code = 2


class DataError(MtkitError):
    """A corpus, a dataset or a text is not what it should be."""

    exit_code = 3


class ModelError(MtkitError):
    """A model folder or a checkpoint cannot be used."""

    exit_code = 4


class RunError(MtkitError):
    """The machine, the store or the disk stands in the way."""

    exit_code = 1


class FlagError(MtkitError):
    """Every translation is written, and some have flags that `--strict` does not allow."""

    exit_code = 5
