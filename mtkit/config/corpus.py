"""Settings of the corpus stage: which texts, how they are normalised, what is filtered."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings
from mtkit.config.values import AsList, Share

HELD_OUT: tuple[Literal["valid"], Literal["test"]] = ("valid", "test")


class TextSource(Settings):
    """Where sentence pairs come from; exactly one way of naming them. A bare string is a stem."""

    schema_extra: ClassVar[Mapping[str, Any]] = {"minProperties": 1}
    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"stem", "source", "target", "tsv", "tmx"})

    dataset: str | None = Field(default=None, description="name of a dataset card (`mtkit data list`)")
    split: Literal["train", "valid", "test"] | None = Field(
        default=None, description="which split of the dataset; left out: the one the key names"
    )
    stem: str | None = Field(
        default=None,
        description="path without its language: `path/train` reads `path/train.de` and `path/train.en`"
        " (or the same with .gz, .xz, .zst)",
    )
    source: str | None = Field(default=None, description="file of source sentences, one a line")
    target: str | None = Field(default=None, description="file of target sentences, one a line")
    tsv: str | None = Field(default=None, description="file with source, a tab and target on each line")
    tmx: str | None = Field(default=None, description="TMX file; units that hold both languages are read")

    @classmethod
    def spelt_out(cls, value: Any) -> Any:
        """A bare text is a stem."""
        return {"stem": value} if isinstance(value, str) else value

    def findings(self) -> Iterator[Finding]:
        ways = [name for name in ("dataset", "stem", "source", "tsv", "tmx") if getattr(self, name)]
        if len(ways) != 1:
            yield Finding(
                (ways[1],) if len(ways) > 1 else (),
                f"{len(ways)} ways to find the text: {', '.join(ways) or 'none'}",
                "one of dataset, stem, source with target, tsv, tmx",
                "Keep one of them.",
            )
        if bool(self.source) != bool(self.target):
            yield Finding(
                ("source",) if self.source else ("target",),
                "one side without the other",
                "both `source` and `target`",
                "Add the missing side.",
            )
        if self.split and not self.dataset:
            yield Finding(
                ("split",),
                "`split` without `dataset` has no effect",
                "",
                "Remove it, or name a dataset.",
                idle=True,
            )


class LengthFilter(Settings):
    """Keep pairs whose sides are both within these lengths."""

    min: int = Field(default=1, ge=0, description="shortest side kept")
    max: int = Field(default=100, ge=1, description="longest side kept")
    unit: Literal["words", "characters"] = Field(default="words", description="what is counted")

    def findings(self) -> Iterator[Finding]:
        if self.min > self.max:
            yield Finding(("min",), f"min {self.min} is above max {self.max}", "min at most max")


class LengthRatioFilter(Settings):
    """Keep pairs whose longer side has at most `max` times the words of the shorter."""

    max: float = Field(default=3.0, ge=1.0, description="largest ratio kept")
    from_words: int = Field(default=4, ge=1, description="pairs whose longer side has fewer words are kept")


class DuplicatesFilter(Settings):
    """Keep one of several equal pairs."""

    keep: Literal["first"] = Field(default="first", description="which one stays")
    of: Literal["pair", "source", "target", "source-or-target"] = Field(
        default="pair", description="what must be equal for a pair to count as seen"
    )
    fold: bool = Field(
        default=False, description="compare without case, digits, punctuation and placeholders' names"
    )


class CopiesFilter(Settings):
    """Remove pairs whose target is the source, untranslated."""

    fold: bool = Field(default=True, description="compare without case and punctuation")


class ScriptFilter(Settings):
    """Keep pairs whose letters are mostly of the expected script (Unicode script names, e.g. Latin)."""

    source: str | None = Field(default=None, description="script of the source side; left out: any")
    target: str | None = Field(default=None, description="script of the target side; left out: any")
    min_share: Share = Field(default=0.5, description="least share of letters in that script")

    def findings(self) -> Iterator[Finding]:
        if self.source is None and self.target is None:
            yield Finding((), "neither side's script is named", "`source`, `target` or both")


class DigitsFilter(Settings):
    """Remove pairs whose numbers differ: the digits of both sides, in any order."""

    tolerance: int = Field(default=0, ge=0, description="how many digits may differ")


class PlaceholdersFilter(Settings):
    """Remove pairs whose sets of placeholders (`{name}`, `%s`, `%(name)d`) differ."""


class LettersFilter(Settings):
    """Remove pairs with a side of fewer letters; a side that is only a web address counts as none."""

    min: int = Field(default=2, ge=1, description="fewest letters on each side")


class Filter(Settings):
    """One filter: a mapping with exactly one key, the filter's name."""

    schema_extra: ClassVar[Mapping[str, Any]] = {"minProperties": 1, "maxProperties": 1}

    length: LengthFilter | None = Field(default=None, description="lengths of both sides")
    length_ratio: LengthRatioFilter | None = Field(default=None, description="ratio of the sides' lengths")
    duplicates: DuplicatesFilter | None = Field(default=None, description="repeated pairs")
    copies: CopiesFilter | None = Field(default=None, description="target equal to source")
    script: ScriptFilter | None = Field(default=None, description="writing system")
    digits: DigitsFilter | None = Field(default=None, description="numbers that differ")
    placeholders: PlaceholdersFilter | None = Field(default=None, description="placeholders that differ")
    letters: LettersFilter | None = Field(default=None, description="too few letters")

    @property
    def name(self) -> str:
        """The filter's name, as written in the recipe."""
        return next(iter(self.given()))

    def given(self) -> dict[str, Settings]:
        """The filters named here; one, or `findings` says so."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    def findings(self) -> Iterator[Finding]:
        if len(self.given()) != 1:
            yield Finding(
                tuple(list(self.given())[1:2]),
                f"{len(self.given())} filters in one item",
                "one filter an item",
                "Write a `-` before each filter; they are applied in order.",
            )


class Shares(Settings):
    """How many pairs are held out: decided by a hash of one sentence, so a pair never changes its split.

    A pair whose sentence has between `min_words` and `max_words` words goes to test or valid if the hash of
    that sentence, folded, falls within that share of all hashes.
    """

    valid: float = Field(default=0.0, ge=0.0, lt=0.5, description="share of eligible sentences")
    test: float = Field(default=0.0, ge=0.0, lt=0.5, description="share of eligible sentences")
    min_words: int = Field(default=4, ge=1, description="fewest words of a held-out sentence")
    max_words: int = Field(default=40, ge=1, description="most words of a held-out sentence")

    def findings(self) -> Iterator[Finding]:
        if not self.valid and not self.test:
            yield Finding((), "no share is held out", "`valid`, `test` or both, for example `valid: 0.02`")
        if self.min_words > self.max_words:
            yield Finding(
                ("min_words",),
                f"min_words {self.min_words} is above max_words {self.max_words}",
                "min_words at most max_words",
            )


class Splits(Shares):
    """Which of a recipe's own pairs are held out for validation and test."""

    by: Literal["source", "target"] = Field(
        default="source",
        description="side whose sentence decides; for the other direction name the other side, and both"
        " directions hold out the same pairs",
    )


class CorpusSettings(Settings):
    """Corpus: which sentence pairs to train, validate and test on, and how they are cleaned."""

    train: Annotated[list[TextSource], AsList] = Field(
        min_length=1, description="training pairs: one source or a list, read in this order"
    )
    valid: TextSource | None = Field(
        default=None,
        description="validation pairs; left out: what `splits` holds out, otherwise the `valid` split of the"
        " one dataset in `train`",
    )
    test: TextSource | None = Field(
        default=None,
        description="test pairs; left out: what `splits` holds out, otherwise the `test` split of the one"
        " dataset in `train`",
    )
    splits: Splits | None = Field(
        default=None,
        description="validation and test pairs held out of `train`; they pass the filters, too",
    )
    normalize: Literal["none", "nfc", "nfkc"] = Field(
        default="nfc", description="Unicode normalisation form (UAX 15); translation applies the same"
    )
    filters: list[Filter] = Field(
        default_factory=list,
        description="applied to training pairs in this order; the report counts what each removes",
    )
    held_out: Literal["strict", "exact", "off"] = Field(
        default="strict",
        description="which training pairs are removed because validation or test holds them: strict = a side"
        " equal after folding case and punctuation, exact = a side equal, off = none",
    )
    limit: int | None = Field(
        default=None, ge=1, description="keep only the first N training pairs; left out: all"
    )

    def held_out_by_share(self, split: Literal["valid", "test"]) -> bool:
        """True if `splits` says which pairs are for validation, or for test."""
        return self.splits is not None and getattr(self.splits, split) > 0

    def findings(self) -> Iterator[Finding]:
        datasets = sum(text.dataset is not None for text in self.train)
        missing = []
        for name in HELD_OUT:
            named, shared = getattr(self, name) is not None, self.held_out_by_share(name)
            if named and shared:
                yield Finding(
                    ("splits", name),
                    f"`{name}` names pairs, and `splits` holds out others",
                    "one of the two",
                    f"Remove `{name}` from `splits`, or from the stage.",
                )
            if not named and not shared:
                missing.append(name)
        if missing and datasets != 1:
            yield Finding(
                (missing[0],),
                f"{_quoted(missing)} {'are' if len(missing) > 1 else 'is'} left out, and `train` names"
                f" {datasets or 'no'} dataset{'s' * (datasets > 1)}",
                f"one dataset in `train`, whose splits are taken, or {_quoted(missing)}",
                f"Name the pairs, for example `{missing[0]}: path/{missing[0]}` or"
                f" `{missing[0]}: {{dataset: NAME}}`; or hold some out of `train`:"
                f" `splits: {{{', '.join(f'{name}: 0.02' for name in missing)}}}`.",
            )


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
