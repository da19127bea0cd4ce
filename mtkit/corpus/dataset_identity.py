"""What decides a dataset's pairs, as one hash, and where they lie in the cache. Loads no polars."""

from pathlib import Path

from mtkit.config.dataset import PathSource
from mtkit.corpus.cache import cache_folder
from mtkit.corpus.cards import FoundCard
from mtkit.corpus.fetch import Fetcher
from mtkit.files import canonical_hash, sha256

READING = 2  # raised by whoever changes what reading, stripping or splitting gives for the same card


def dataset_identity(found: FoundCard, source: str, target: str) -> str:
    """A hash of all that decides a dataset's pairs; needs no network.

    An archive is known by the SHA-256 in the card. One without counts by its address.
    """
    card = found.card
    decisive = card.model_dump(mode="json", include={"parts", "clean", "splits"})
    local = {
        path.relative_to(found.folder).as_posix(): sha256(path)
        for part in card.parts
        if isinstance(part.source, PathSource)
        for path in Fetcher(found.folder, (source, target), _silent).local_files(part)
    }
    return canonical_hash([READING, source, target, decisive, local])


def _silent(_: str) -> None:
    """Says nothing."""


def dataset_place(found: FoundCard, source: str, target: str) -> Path:
    """Where a dataset's splits lie in the cache, or would."""
    identity = dataset_identity(found, source, target)
    return cache_folder() / "datasets" / found.card.name / f"{source}-{target}-{identity[:16]}"
