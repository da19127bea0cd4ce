"""Dataset cards by name: those shipped in data/, and cards of the user's own by path."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.config.dataset import DatasetCard, card_from, read_card
from mtkit.config.nearest import did_you_mean
from mtkit.errors import DataError
from mtkit.files import shipped

_SAFE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FoundCard(NamedTuple):
    """A card and where its relative paths start."""

    card: DatasetCard
    folder: Path


def all_cards() -> list[DatasetCard]:
    """Every shipped card, by name."""
    return [read_card(path) for path in sorted(shipped("data").glob("*.yaml"))]


def find_card(name: str) -> DatasetCard:
    """The card of a name; `opus/Books@v1` fills in the parameters of the card `opus`.

    Raises:
        DataError: no such card, or its parameters are missing or malformed.
    """
    return find_card_with_folder(name).card


def find_card_with_folder(name: str, folder: Path = Path()) -> FoundCard:
    """As find_card, for cards by path too: a name that ends in .yaml starts at `folder`."""
    if name.endswith(".yaml"):
        path = folder / name
        return FoundCard(read_card(path), path.parent)
    stem, _, rest = name.partition("/")
    return FoundCard(_with_parameters(find_template(stem), rest, name), shipped("data"))


def find_template(stem: str) -> DatasetCard:
    """The shipped card of this name as it is written, parameters not filled in.

    Raises:
        DataError: there is none.
    """
    path = shipped("data") / f"{stem}.yaml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", stem) or not path.is_file():
        raise _no_such_card(stem)
    return read_card(path)


def _no_such_card(name: str) -> DataError:
    known = [path.stem for path in sorted(shipped("data").glob("*.yaml"))]
    return DataError(
        f"no such dataset: {name!r}",
        expected=f"one of {', '.join(known)}, or the path of a card that ends in .yaml",
        advice=did_you_mean(name, known) or "See `mtkit data list`.",
    )


def _with_parameters(card: DatasetCard, given: str, name: str) -> DatasetCard:
    """Fill `{parameter}` in every text of a card; the values stand in the name as `a@b`."""
    values = given.split("@") if given else []
    good = len(values) == len(card.parameters) and all(_SAFE_VALUE.fullmatch(value) for value in values)
    if not good:
        example = "/" + "@".join(card.parameters.values()) if card.parameters else ""
        wanted = f" with {' and '.join(card.parameters)}" if card.parameters else ""
        raise DataError(
            f"the dataset name {name!r} does not fit its card",
            expected=f"{card.name}{example}{wanted}",
            advice=f"See `mtkit data show {card.name}`.",
        )
    if not values:
        return card
    filled = dict(zip(card.parameters, values, strict=True))

    def fill(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: filled.get(match[1], match[0]), text)

    return card_from(_each_text(card.model_dump(exclude_unset=True), fill))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value


def check_languages(card: DatasetCard, source_language: str, target_language: str) -> None:
    """Raise DataError unless the card serves this direction."""
    missing = [code for code in (source_language, target_language) if code not in card.languages]
    if "*" in card.languages:
        missing = []
    if missing or source_language == target_language:
        raise DataError(
            f"the dataset {card.name} has no pairs {source_language} → {target_language}",
            expected=f"two of its languages: {', '.join(card.languages)}",
            advice="Change `source` or `target`, or take another dataset (`mtkit data list`).",
        )
