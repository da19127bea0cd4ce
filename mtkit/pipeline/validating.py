"""What training is handed to translate and score its validation text. Imports torch inside functions only."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.config.search import SearchSettings
from mtkit.config.training import TrainSettings
from mtkit.files import read_lines
from mtkit.log import RunContext

if TYPE_CHECKING:
    from mtkit.model.transformer import Transformer
    from mtkit.model.workers import Workers
    from mtkit.training.validation import Validation, Validator

METRICS = ("bleu", "chrf")


def validator(
    settings: TrainSettings, corpus_facts: dict[str, Any], reads: dict[str, Path], run: RunContext
) -> "Validator | None":
    """A function that translates the first validation sentences as `mtkit translate` would, and scores them.

    Args:
        settings: of the train stage: how many pairs, which beam, how many samples.
        corpus_facts: the corpus stage's `corpus.json`.
        reads: folders of the corpus and the subword stage.
        run: of several processes each translates its share; rank 0 scores.

    Returns:
        None where training wants neither scores nor samples.

    Raises:
        RunError: BLEU of the target language needs a tokenizer that is not installed.
    """
    wanted = settings.validate_
    if wanted.by == "loss" and not wanted.samples:
        return None
    from mtkit.scoring.metrics import open_metric, score
    from mtkit.subword.codec import Subword
    from mtkit.training.processes import processes_of
    from mtkit.training.validation import Validation
    from mtkit.translation.torch_engine import TorchEngine
    from mtkit.translation.translator import BATCH_TOKENS, Translator, source_limit

    sources, references = (
        list(read_lines(reads["corpus"] / f"valid.{side}"))[: wanted.pairs] for side in ("source", "target")
    )
    language = corpus_facts["target_language"]
    for metric in METRICS:  # what cannot be scored is told before hours of training, not after
        open_metric(metric, language)
    codec = Subword.load(reads["subword"])
    limit = source_limit(settings.model, settings.max_tokens)
    processes = processes_of(run)
    search = SearchSettings(beam_size=wanted.beam_size)

    def validate(model: "Transformer", workers: "Workers") -> "Validation":
        engine = TorchEngine(model, BATCH_TOKENS, workers)
        translator = Translator(engine, codec, form=corpus_facts["normalize"], limit=limit, settings=search)
        mine = translator.translate(processes.mine(sources))
        hypotheses = processes.in_order([translation.text for translation in mine])
        scores = processes.told(
            lambda: {
                metric: score(hypotheses, references, metric, language=language).value for metric in METRICS
            }
        )
        samples = list(zip(sources, hypotheses, references, strict=True))[: wanted.samples]
        return Validation(scores, samples)

    return validate
