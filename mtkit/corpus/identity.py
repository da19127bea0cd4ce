"""What a fingerprint needs to know of the data behind a corpus: a hash for each text, no path in it."""

from pathlib import Path
from typing import NamedTuple

from mtkit.config.corpus import HELD_OUT, CorpusSettings, TextSource
from mtkit.corpus.cards import check_languages, find_card_with_folder
from mtkit.corpus.dataset_identity import dataset_identity
from mtkit.corpus.pairs import locate
from mtkit.errors import RecipeError
from mtkit.files import sha256


class CorpusInputs(NamedTuple):
    """What the corpus stage reads besides its settings.

    Attributes:
        source_language: code, as in the recipe.
        target_language: code, as in the recipe.
        folder: where relative paths start.
    """

    source_language: str
    target_language: str
    folder: Path


def data_identity(settings: CorpusSettings, inputs: CorpusInputs) -> dict[str, str]:
    """Path in the recipe → hash of the texts that are named there.

    Files count by content, datasets by their card with the SHA-256 in it: nothing is fetched for this.

    Raises:
        DataError: a file or a dataset is missing.
        RecipeError: validation or test pairs are not named.
    """
    return {name: _identity(text, split, inputs) for name, text, split in named_sources(settings)}


def named_sources(settings: CorpusSettings) -> list[tuple[str, TextSource, str]]:
    """(path in the recipe, source of pairs, split of a dataset) of all that is read, train first.

    What `splits` holds out of the training texts has no source of its own.
    """
    found: list[tuple[str, TextSource, str]] = [
        (f"train.{number}", text, text.split or "train") for number, text in enumerate(settings.train)
    ]
    for name in HELD_OUT:
        if settings.held_out_by_share(name):
            continue
        text = getattr(settings, name) or _of_the_one_dataset(settings, name)
        found.append((name, text, text.split or name))
    return found


def _of_the_one_dataset(settings: CorpusSettings, name: str) -> TextSource:
    datasets = [text for text in settings.train if text.dataset]
    for finding in settings.findings():  # those of a recipe were told when it was read
        raise RecipeError(
            finding.found, where=f"corpus.{name}", expected=finding.expected, advice=finding.advice
        )
    return datasets[0].model_copy(update={"split": None})


def _identity(text: TextSource, split: str, inputs: CorpusInputs) -> str:
    languages = inputs.source_language, inputs.target_language
    if text.dataset:
        found = find_card_with_folder(text.dataset, inputs.folder)
        check_languages(found.card, *languages)
        return f"{split}:{dataset_identity(found, *languages)}"
    files = locate(text, inputs.folder, *languages)
    return "+".join([files.kind, *map(sha256, files.paths)])
