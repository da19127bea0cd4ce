"""A dataset card and its state in the cache, as lines for people."""

from collections.abc import Iterator

from mtkit.config.dataset import DatasetCard, NoSource, Part, PathSource, PypiSource, UrlSource
from mtkit.corpus.cache import archive_place, cache_folder
from mtkit.corpus.cards import find_card, find_template
from mtkit.files import read_json


def card_lines(name: str) -> Iterator[str]:
    """What `mtkit data show` prints."""
    card = find_card(name) if "/" in name or name.endswith(".yaml") else find_template(name)
    yield f"{'name':12} {card.name}"
    yield f"{'about':12} {card.about}"
    yield f"{'languages':12} {', '.join(card.languages) if '*' not in card.languages else 'any'}"
    yield f"{'licence':12} {card.licence}"
    yield f"{'attribution':12} {card.attribution}"
    if card.parameters:
        words = ", ".join(f"{key} (such as {value})" for key, value in card.parameters.items())
        yield f"{'parameters':12} {words}"
    if card.download_megabytes:
        yield f"{'download':12} about {card.download_megabytes:g} MB"
    if card.network:
        yield f"{'network':12} comes from a public address"
    for pair, count in card.pairs.items():
        yield f"{'pairs':12} {pair} {count:,}"
    for part in card.parts:
        yield from _part_lines(card, part)
    yield from _splits_lines(card)
    yield from _cached_lines(card)


def _part_lines(card: DatasetCard, part: Part) -> Iterator[str]:
    split = f" ({part.split})" if part.split else ""
    cached = ""
    match part.source:
        case PypiSource() as source:
            where = f"pypi {source.package}=={source.version}"
            there = archive_place(source.sha256, source.filename).is_file()
            cached = f", SHA-256 {source.sha256[:16]}…, {'cached' if there else 'not cached'}"
        case UrlSource() as source:
            where = source.url
            cached = ", no SHA-256 pinned" if source.sha256 is None else f", SHA-256 {source.sha256[:16]}…"
        case PathSource() as source:
            where = f"beside the card: {source.path}"
        case NoSource():
            where = "made up, nothing is fetched"
        case source:
            where = f"sacreBLEU test set {source.test_set}"
    yield f"{'part':12} {part.name or card.name}{split}: {where}{cached}, read as {part.reader.kind}"


def _splits_lines(card: DatasetCard) -> Iterator[str]:
    rule = card.splits
    if rule:
        yield (
            f"{'splits':12} by hash: {rule.test:.2%} test and {rule.valid:.2%} valid of sentences with"
            f" {rule.min_words} to {rule.max_words} words; a pair never changes its split"
        )
    filters = ", ".join([*card.clean.strip, *(item.name for item in card.clean.filters)])
    if filters:
        yield f"{'cleaned by':12} {filters}"


def _cached_lines(card: DatasetCard) -> Iterator[str]:
    for path in sorted((cache_folder() / "datasets" / card.name).glob("*/dataset.json")):
        record = read_json(path)
        sizes = ", ".join(f"{count:,} {split}" for split, count in record["pairs"].items())
        direction = f"{record['source_language']} → {record['target_language']}"
        yield f"{'extracted':12} {direction}: {sizes} in {path.parent}"
