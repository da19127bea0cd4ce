"""A model folder that is to be exported: its model, its vocabularies, and what torch makes of the probe."""

from collections.abc import Sequence
from pathlib import Path

from mtkit.config.search import SearchSettings
from mtkit.export.comparing import Comparison
from mtkit.export.convert import enough_positions
from mtkit.export.probe import ProbeLine
from mtkit.model.cores import default_threads
from mtkit.model.folder import check_folder, subword_folder
from mtkit.model.transformer import Transformer
from mtkit.subword.codec import Subword
from mtkit.translation.torch_engine import TorchEngine
from mtkit.translation.translator import BATCH_TOKENS, Translator, source_limit


class Opened:
    """A model, open to be exported.

    Args:
        folder: the model folder.
        threads: CPU threads; None: all cores.

    Raises:
        ModelError: the folder holds no model, or a damaged one.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        self.threads = threads or default_threads()
        self.card = check_folder(folder)
        self.codec = Subword.load(subword_folder(folder))
        self.engine = TorchEngine.load(folder, "cpu", threads=self.threads, batch_tokens=BATCH_TOKENS)

    @property
    def model(self) -> Transformer:
        """The model itself."""
        assert isinstance(self.engine.model, Transformer), "a model folder holds one model"
        return self.engine.model

    def translator(self, settings: SearchSettings) -> Translator:
        """It as a translator of text."""
        card = self.card
        return Translator(
            self.engine,
            self.codec,
            form=card.normalize,
            limit=source_limit(card.architecture, card.max_tokens),
            settings=settings,
            languages=(card.source_language, card.target_language),
        )

    def comparison(self, probe: Sequence[ProbeLine], settings: SearchSettings) -> Comparison:
        """The probe, translated by torch."""
        return Comparison(self.translator(settings), self.engine, probe, self.card.target_language)


def positions_in(opened: Opened) -> int:
    """Most tokens of a side that an exported model has positions for."""
    return opened.model.max_tokens or enough_positions(opened.card)
