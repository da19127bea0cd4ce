"""What training is handed to translate and score its validation text. Imports torch inside functions only."""

from pathlib import Path
from typing import TYPE_CHECKING

from mtkit.config.model import LearnedPositions
from mtkit.config.search import SearchSettings
from mtkit.config.training import TrainSettings
from mtkit.files import read_lines

if TYPE_CHECKING:
    from mtkit.model.transformer import Transformer
    from mtkit.training.validation import Validation, Validator

METRICS = ("bleu", "chrf")


def validator(settings: TrainSettings, form: str, reads: dict[str, Path]) -> "Validator | None":
    """A function that translates the first validation sentences as `mtkit translate` would, and scores them.

    Args:
        settings: of the train stage: how many pairs, which beam, how many samples.
        form: normal form of the corpus.
        reads: folders of the corpus and the subword stage.

    Returns:
        None where training wants neither scores nor samples.
    """
    wanted = settings.validate_
    if wanted.by == "loss" and not wanted.samples:
        return None
    from mtkit.scoring.metrics import score
    from mtkit.subword.codec import Subword
    from mtkit.training.validation import Validation
    from mtkit.translation.torch_engine import TorchEngine
    from mtkit.translation.translator import BATCH_TOKENS, Translator

    sources, references = (
        list(read_lines(reads["corpus"] / f"valid.{side}"))[: wanted.pairs] for side in ("source", "target")
    )
    codec = Subword.load(reads["subword"])
    search = SearchSettings(beam_size=wanted.beam_size)

    def validate(model: "Transformer") -> "Validation":
        translator = Translator(
            TorchEngine(model, BATCH_TOKENS), codec, form=form, limit=_limit(settings), settings=search
        )
        hypotheses = [translation.text for translation in translator.translate(sources)]
        scores = {metric: score(hypotheses, references, metric).value for metric in METRICS}
        samples = list(zip(sources, hypotheses, references, strict=True))[: wanted.samples]
        return Validation(scores, samples)

    return validate


def _limit(settings: TrainSettings) -> int:
    """Most tokens of a sentence that the model is given at once, as the model's card will say."""
    positions = settings.model.positions
    most = settings.max_tokens
    return min(most, positions.max) if isinstance(positions, LearnedPositions) else most
