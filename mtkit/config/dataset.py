"""Dataset cards: what a corpus is, under which licence, where it comes from, how pairs are read from it.

Only the form of a card lives here, and reading a card's file; fetching what it names is the room `corpus`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from mtkit.config.corpus import Filter, Shares
from mtkit.config.findings import findings
from mtkit.config.judging import ValidationError
from mtkit.config.nodes import find, plain
from mtkit.config.reader import read_yaml
from mtkit.config.rules import AfterValidator, Field
from mtkit.config.settings import Finding, Settings
from mtkit.config.values import AsList
from mtkit.errors import DataError
from mtkit.files import user_errors

Split = Literal["train", "valid", "test"]


def _is_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("expected 64 hexadecimal digits in lower case")
    return value


Sha256 = Annotated[str, AfterValidator(_is_sha256)]


class PypiSource(Settings):
    """One exact wheel from the package index, downloaded with pip; nothing of it is installed or run."""

    kind: Literal["pypi"] = "pypi"
    package: str = Field(description="name of the package", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(description="exact version", pattern=r"^[0-9][A-Za-z0-9.+!_-]*$")
    filename: str = Field(description="file name of the wheel", pattern=r"^[A-Za-z0-9._+-]+\.whl$")
    sha256: Sha256 = Field(description="SHA-256 of the wheel")
    python: str | None = Field(
        default=None,
        pattern=r"^\d+(\.\d+)*$",
        description="Python version the wheel is asked for; left out: this one",
    )


class UrlSource(Settings):
    """Files at public addresses, with the languages filled in.

    `{language}` is each of the two in turn, `{first}` and `{second}` are both in alphabetical order,
    `{other}` is the one that is not English, `{source}` and `{target}` speak for themselves.
    """

    kind: Literal["url"] = "url"
    url: str = Field(description="address", pattern=r"^https?://")
    sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256; null: noted at the first fetch on this machine and checked ever after",
    )


class PathSource(Settings):
    """Files that lie beside the card; the path starts at the card's folder."""

    kind: Literal["path"] = "path"
    path: str = Field(description="file, relative to the card; `{language}` is each language")


class SacrebleuSource(Settings):
    """A test set fetched by sacreBLEU's own downloader (`sacrebleu --test-set NAME --echo`)."""

    kind: Literal["sacrebleu"] = "sacrebleu"
    test_set: str = Field(
        description="sacreBLEU's name of the test set", pattern=r"^[A-Za-z0-9_{][A-Za-z0-9_./{}-]*$"
    )


class NoSource(Settings):
    """Nothing is fetched: the reader makes the pairs."""

    kind: Literal["none"] = "none"


Source = Annotated[
    PypiSource | UrlSource | PathSource | SacrebleuSource | NoSource, Field(discriminator="kind")
]


class LinesReader(Settings):
    """Two line-aligned texts: line N of one is the translation of line N of the other."""

    kind: Literal["lines"] = "lines"
    path: str = Field(
        default="",
        description="file in the archive, with `{language}`; left out: what was fetched is the text",
    )
    segments_only: bool = Field(
        default=False,
        description="read only what stands in <seg>…</seg> (the XML of IWSLT and WMT test sets)",
    )
    skip_tagged: bool = Field(
        default=False, description="leave out pairs of lines that begin with `<` (IWSLT's talk data)"
    )


class TsvReader(Settings):
    """A table with a tab between columns."""

    kind: Literal["tsv"] = "tsv"
    path: str = Field(default="", description="file in the archive; left out: what was fetched is the table")
    columns: dict[str, int] = Field(
        description="language → column, counted from 1; `*` is any other language"
    )


class GettextReader(Settings):
    """gettext catalogues (.po, .mo) without fuzzy and obsolete entries; of plurals the first form."""

    kind: Literal["gettext"] = "gettext"
    path: Annotated[list[str], AsList] = Field(
        min_length=1,
        description="patterns of members, with `{language}`; `*` stays within a folder, `**` does not",
    )
    key_language: str = Field(default="en", description="language of the message ids")


class CatalogueReader(Settings):
    """JSON catalogues with nested keys: texts with equal keys in two languages are a pair."""

    kind: Literal["json-catalogue"] = "json-catalogue"
    path: Annotated[list[str], AsList] = Field(
        min_length=1,
        description="patterns of members, with `{language}`; `*` stays within a folder, `**` does not",
    )


class TmxReader(Settings):
    """TMX: units that hold both languages; languages are matched by their primary subtag."""

    kind: Literal["tmx"] = "tmx"
    path: str = Field(default="", description="file in the archive; left out: what was fetched is the TMX")


class VersesReader(Settings):
    """A SQLite table with one row a verse and text version."""

    kind: Literal["sqlite-verses"] = "sqlite-verses"
    path: str = Field(description="the database in the archive")
    table: str = Field(description="name of the table", pattern=r"^\w+$")
    version: str = Field(description="column that names the text version", pattern=r"^\w+$")
    keys: list[str] = Field(min_length=1, description="columns that number a verse, in reading order")
    text: str = Field(description="column of the text", pattern=r"^\w+$")
    versions: dict[str, str] = Field(description="language → text version")


class GeneratorReader(Settings):
    """Made-up pairs: a row of digits and the same row reversed. Deterministic, needs nothing."""

    kind: Literal["generator"] = "generator"
    task: Literal["reverse"] = "reverse"
    pairs: dict[Split, int] = Field(description="split → how many pairs")
    min_length: int = Field(default=1, ge=1, description="fewest digits")
    max_length: int = Field(default=10, ge=1, description="most digits")


Reader = Annotated[
    LinesReader | TsvReader | GettextReader | CatalogueReader | TmxReader | VersesReader | GeneratorReader,
    Field(discriminator="kind"),
]


class Part(Settings):
    """One source and how it is read; a card may have several."""

    name: str = Field(default="", description="for people; left out: the package or the card")
    split: Split | None = Field(
        default=None, description="all pairs of this part go there; left out: by hash"
    )
    source: Source = Field(description="where the bytes come from")
    reader: Reader = Field(description="how pairs are read from them")
    codes: dict[str, str] = Field(
        default_factory=dict, description="language → how this part spells it, where it differs"
    )
    licence: str = Field(default="", description="SPDX identifier; left out: the card's")


class HashSplits(Shares):
    """Which pairs of a dataset are held out."""

    by: str | None = Field(
        default=None,
        description="language whose sentence decides, where a pair has it; otherwise the source side",
    )


class Cleaning(Settings):
    """What is done to every pair as it is read, before splitting."""

    strip: list[Literal["markup", "access-keys"]] = Field(
        default_factory=list, description="removed from texts"
    )
    normalize: Literal["none", "nfc", "nfkc"] = Field(default="nfc", description="Unicode normalisation form")
    filters: list[Filter] = Field(
        default_factory=list, description="as in a recipe's corpus stage, all splits"
    )


class DatasetCard(Settings):
    """A dataset: what it is, its licence, where it comes from, how pairs are read, which are held out."""

    name: str = Field(description="as in `dataset: NAME`; the file's name", pattern=r"^[a-z0-9][a-z0-9-]*$")
    about: str = Field(description="what the text is, in a sentence or two")
    languages: list[str] = Field(min_length=1, description="language codes; `*` is any")
    pairs: dict[str, int] = Field(default_factory=dict, description="measured pairs, e.g. {en-de: 31800}")
    licence: str = Field(description="SPDX identifier, or LicenseRef-…")
    attribution: str = Field(description="who made it, to be named in what is published")
    download_megabytes: float = Field(default=0.0, ge=0, description="about how much is fetched")
    network: bool = Field(
        default=False, description="fetched from a public address outside the package indexes"
    )
    parameters: dict[str, str] = Field(
        default_factory=dict, description="parameters of the name, with an example: opus/Books@v1"
    )
    parts: list[Part] = Field(min_length=1, description="where pairs come from, in order")
    clean: Cleaning = Field(default_factory=Cleaning, description="applied to every pair")
    splits: HashSplits | None = Field(
        default=None, description="how parts without a split are divided; left out: all train"
    )

    def findings(self) -> Iterator[Finding]:
        for number, part in enumerate(self.parts):
            if isinstance(part.source, NoSource) != isinstance(part.reader, GeneratorReader):
                yield Finding(("parts", number, "source"), "only a generator reads from nothing")
        unpinned = [p for p in self.parts if isinstance(p.source, UrlSource) and p.source.sha256 is None]
        if unpinned and not self.network:
            yield Finding(("network",), "a source without `sha256` in a card that is not `network: true`")


def read_card(path: Path) -> DatasetCard:
    """The card in a YAML file.

    Raises:
        DataError: the file is missing or no dataset card; every problem is named with its line.
        RecipeError: the file is no YAML.
    """
    with user_errors(path):
        path.stat()  # reading it would blame a recipe
    root = read_yaml(path)
    try:
        card = card_from(plain(root))
    except ValidationError as error:
        problems = []
        for item in error.errors():
            spot = find(root, root.place, tuple(item["loc"]))
            problems.append(f"{spot.place.label}: {'.'.join(map(str, item['loc']))}: {_said(item['msg'])}")
        raise not_a_card(path, problems) from error
    problems = [f"{path}: {'.'.join(map(str, (*at, *f.path)))}: {f.found}" for at, f in findings(card)]
    if card.name != path.stem:
        problems.append(f"{path}: the card calls itself {card.name!r}, the file {path.stem!r}")
    if problems:
        raise not_a_card(path, problems)
    return card


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")  # what pydantic puts before our own words


def card_from(value: Any) -> DatasetCard:
    """A card from plain values; raises pydantic's ValidationError."""
    return DatasetCard.model_validate(value)


def not_a_card(path: Path, problems: list[str]) -> DataError:
    """The error that lists what is wrong with a card."""
    return DataError(
        "\n".join([f"{len(problems)} problem{'s' * (len(problems) != 1)} in this dataset card", *problems]),
        where=str(path),
        expected="a dataset card as described in data/README.md",
        advice="Mend these lines.",
    )
