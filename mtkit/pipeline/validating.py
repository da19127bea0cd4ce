"""What training is handed to translate and score its validation text. Imports torch inside functions only."""

from collections.abc import Callable
from functools import partial
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


def check_metrics(settings: TrainSettings, language: str) -> bool:
    """False where training wants neither scores nor samples.

    What cannot be scored is told before hours of training, not after.

    Raises:
        RunError: BLEU of the target language needs a tokenizer that is not installed.
    """
    if settings.validate_.by == "loss" and not settings.validate_.samples:
        return False
    from mtkit.scoring.metrics import open_metric

    for metric in METRICS:
        open_metric(metric, language)
    return True


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
    language = corpus_facts["target_language"]
    if not check_metrics(settings, language):
        return None
    from mtkit.scoring.metrics import score
    from mtkit.subword.codec import Subword
    from mtkit.training.processes import processes_of
    from mtkit.training.validation import Validation
    from mtkit.translation.torch_engine import TorchEngine
    from mtkit.translation.translator import BATCH_TOKENS, Translator, source_limit

    sources, references = (
        list(read_lines(reads["corpus"] / f"valid.{side}"))[: wanted.pairs] for side in ("source", "target")
    )
    codec = Subword.load(reads["subword"])
    limit = source_limit(settings.model, settings.max_tokens)
    processes = processes_of(run)
    search = SearchSettings(beam_size=wanted.beam_size)
    batch_tokens = BATCH_TOKENS

    def validate(model: "Transformer", workers: "Workers") -> "Validation":
        nonlocal batch_tokens
        before = batch_tokens

        def translate(tokens: int) -> list[str]:
            engine, form = TorchEngine(model, tokens, workers, tells=False), corpus_facts["normalize"]
            translator = Translator(engine, codec, form=form, limit=limit, settings=search)
            return [translation.text for translation in translator.translate(processes.mine(sources))]

        mine, batch_tokens = _that_fits(translate, before, model)  # and so in the next validation
        hypotheses = processes.in_order(mine)
        scores = processes.told(
            lambda: {
                metric: score(hypotheses, references, metric, language=language).value for metric in METRICS
            }
        )
        samples = list(zip(sources, hypotheses, references, strict=True))[: wanted.samples]
        return Validation(scores, samples, None if batch_tokens == before else batch_tokens)

    return validate


def _that_fits(
    translate: Callable[[int], list[str]], batch_tokens: int, model: "Transformer"
) -> tuple[list[str], int]:
    """Translations in batches that the memory holds, and how large those are.

    Raises:
        RunError: it does not hold one sentence.
    """
    from mtkit.training.pieces import attempted
    from mtkit.training.shortage import too_small_for_a_sentence

    while (found := attempted(partial(translate, batch_tokens))) is None:
        if batch_tokens == 1:
            raise too_small_for_a_sentence(model.device)
        batch_tokens //= 2
    return found, batch_tokens
