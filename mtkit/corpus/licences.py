"""Under which licences the datasets of a corpus stand, as their cards say now. No result hangs on them, so
a card whose licence was corrected makes nothing anew; what is written of a run is put right.
"""

from pathlib import Path

from mtkit.config.corpus import CorpusSettings
from mtkit.corpus.cards import find_card_with_folder
from mtkit.corpus.identity import named_sources

Licence = dict[str, str]  # dataset, licence, attribution


def licences_of(settings: CorpusSettings, folder: Path) -> list[Licence]:
    """The licence of each dataset, in the order in which a corpus reads them.

    Args:
        settings: of a corpus stage.
        folder: where relative paths start.

    Raises:
        DataError: a card is missing.
    """
    names = [text.dataset for _, text, _ in named_sources(settings) if text.dataset]
    cards = [find_card_with_folder(name, folder).card for name in dict.fromkeys(names)]
    return [
        {"dataset": card.name, "licence": card.licence, "attribution": card.attribution} for card in cards
    ]
