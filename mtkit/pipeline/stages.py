"""One adapter a kind: calls the room that does the work, with what the rooms to its left have made.

Here the knots are tied that the rooms leave open: training is handed what translates and scores. Every
import of a room is inside a function, so that a run in which all is stored loads none of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit import __version__
from mtkit.config.corpus import CorpusSettings
from mtkit.config.export import ExportSettings
from mtkit.config.recipe import Recipe
from mtkit.config.scoring import ScoreSettings
from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.config.settings import Settings
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import TrainSettings
from mtkit.files import canonical_hash, read_json
from mtkit.log import RunContext

if TYPE_CHECKING:
    from mtkit.model.folder import ModelCard
    from mtkit.training.place import Place
    from mtkit.training.stretch import Stretch
    from mtkit.training.train import TrainSummary

Reads = dict[str, Path]


def corpus_identity(settings: CorpusSettings, recipe: Recipe) -> dict[str, str]:
    """Path in the recipe → hash of the data that a corpus stage reads there."""
    from mtkit.corpus.identity import CorpusInputs, data_identity

    return data_identity(settings, CorpusInputs(recipe.source, recipe.target, recipe.folder))


def corpus(settings: CorpusSettings, _reads: Reads, out: Path, run: RunContext, recipe: Recipe) -> None:
    """Sentence pairs: read, normalised, filtered, split."""
    from mtkit.corpus.build import build_corpus
    from mtkit.corpus.identity import CorpusInputs

    build_corpus(settings, CorpusInputs(recipe.source, recipe.target, recipe.folder), out, run)


def subword(settings: SubwordSettings, reads: Reads, out: Path, run: RunContext, _recipe: Recipe) -> None:
    """A vocabulary of pieces, learned from the training text."""
    from mtkit.subword.learn import SubwordInputs, learn_subword

    learn_subword(settings, SubwordInputs(reads["corpus"]), out, run)


def train(settings: TrainSettings, reads: Reads, out: Path, run: RunContext, recipe: Recipe) -> None:
    """A model folder, learned from the training pairs; validated by translating with the real search."""
    from mtkit.pipeline.orders import announce
    from mtkit.pipeline.validating import validator
    from mtkit.training.train import TrainInputs
    from mtkit.training.train import train as train_model

    facts = read_json(reads["corpus"] / "corpus.json")

    def card(summary: "TrainSummary") -> "ModelCard":
        return _card(settings, recipe, facts, summary)

    announce(settings, reads, out, run)
    validate = validator(settings, facts, reads, run)
    train_model(settings, TrainInputs(reads["corpus"], reads["subword"], validate, card), out, run)


def train_along(
    settings: TrainSettings, reads: Reads, out: Path, run: RunContext, stretch: "Stretch | None" = None
) -> None:
    """Training without a model folder: of a follower, which leaves it to rank 0, or of a stretch."""
    from mtkit.pipeline.validating import validator
    from mtkit.training.train import TrainInputs
    from mtkit.training.train import train as train_model

    def no_card(_: "TrainSummary") -> "ModelCard":
        raise AssertionError("rank 0 alone writes the model folder")

    facts = read_json(reads["corpus"] / "corpus.json")
    validate = validator(settings, facts, reads, run)
    train_model(
        settings, TrainInputs(reads["corpus"], reads["subword"], validate, no_card), out, run, stretch
    )


def train_forecast(
    settings: TrainSettings,
    reads: Mapping[str, Path | None],
    beside: Mapping[str, Settings],
    run: RunContext,
    recipe: Recipe,
    place: "Place",
) -> str:
    """What a training would take, measured by a short probe, once everything that training checks is checked.

    Args:
        settings: of the stage.
        reads: folders of the stages that it reads; None for one that is not stored.
        beside: settings of the stages that it reads.
        run: device, threads and seed.
        recipe: says the languages.
        place: of one of the processes that would train.
    """
    from mtkit.pipeline.validating import check_metrics
    from mtkit.training.preflight import assumed_lengths, probe_training, stored_lengths
    from mtkit.training.processes import each_of

    run = each_of(place, run)
    check_metrics(settings, recipe.target)
    corpus, vocabulary, planned = reads["corpus"], reads["subword"], beside["subword"]
    if corpus is not None and vocabulary is not None:
        lengths = stored_lengths(corpus, vocabulary, settings.max_tokens)
    else:
        assert isinstance(planned, SubwordSettings), "training reads a subword stage"
        lengths = assumed_lengths(planned.pieces, settings.max_tokens)
    return probe_training(settings, lengths, run, place.count)


def _card(
    settings: TrainSettings, recipe: Recipe, corpus_facts: dict[str, Any], summary: "TrainSummary"
) -> "ModelCard":
    """The model folder's card: what it translates, and where it comes from."""
    from dataclasses import asdict

    from mtkit.model.folder import ModelCard

    return ModelCard(
        architecture=settings.model,
        source_language=corpus_facts["source_language"],
        target_language=corpus_facts["target_language"],
        normalize=corpus_facts["normalize"],
        source_size=summary.source_size,
        target_size=summary.target_size,
        max_tokens=settings.max_tokens,
        decoding=SearchSettings(),
        provenance={
            "recipe": recipe.name,
            "about": recipe.about,
            "mtkit": __version__,
            "data": corpus_facts["licences"],
            "training": asdict(summary),
        },
    )


def export_identity(settings: ExportSettings, recipe: Recipe) -> dict[str, str]:
    """What an export depends on beside the model: how the recipe translates, unless that is by default."""
    from mtkit.pipeline.decoding import HOW_IT_TRANSLATES

    decoding = _decoding(settings, recipe)
    if decoding is None or decoding == SearchSettings():
        return {}
    return {HOW_IT_TRANSLATES: canonical_hash(decoding.model_dump(mode="json"))}


def export(settings: ExportSettings, reads: Reads, out: Path, run: RunContext, recipe: Recipe) -> None:
    """The model for another engine, with proof that it translates alike by the recipe's own search."""
    from mtkit.export.stage import ExportInputs, export_model
    from mtkit.pipeline.decoding import searching

    with searching(reads["train"], _decoding(settings, recipe), out) as train:
        export_model(settings, ExportInputs(reads["corpus"], train), out, run)


def _decoding(settings: ExportSettings, recipe: Recipe) -> SearchSettings | None:
    """How the recipe translates with the model that a stage of these settings exports; None: not at all."""
    from mtkit.pipeline.decoding import searches_of

    [trained] = [stage.reads["train"] for stage in recipe.stages.values() if stage.settings is settings]
    return next(iter(searches_of(recipe, trained).values()), None)


def export_needs(settings: ExportSettings, recipe: Recipe, _run: RunContext) -> None:
    """What an export needs of this machine, and its certificate to score with."""
    from mtkit.export.needs import check_needs
    from mtkit.scoring.metrics import open_metric

    check_needs(settings)
    open_metric("bleu", recipe.target)


def translate(settings: TranslateSettings, reads: Reads, out: Path, run: RunContext, recipe: Recipe) -> None:
    """Translations of a held-out split."""
    from mtkit.translation.asked import NOTHING_ASKED, Asked
    from mtkit.translation.stage import TranslateInputs, translate_corpus

    asked = NOTHING_ASKED
    if settings.mbr is not None:
        from mtkit.scoring.mbr import expected_utilities
        from mtkit.translation.choosing import ByUtility

        asked = Asked(chooser=ByUtility(expected_utilities(settings.mbr.utility, recipe.target)))
    translate_corpus(settings, TranslateInputs(reads["corpus"], reads["train"]), out, run, asked)


def train_needs(settings: TrainSettings, recipe: Recipe, run: RunContext) -> None:
    """What training needs of the device, and validation to score with."""
    from mtkit.pipeline.validating import check_metrics

    check_metrics(settings, recipe.target)
    if run.device in ("auto", "cpu") and settings.precision != "bfloat16" and settings.compile is not True:
        return  # every machine has it, and torch need not be loaded yet
    from mtkit.model.device import find_device
    from mtkit.training.feasible import check_precision
    from mtkit.training.packing import check_compile

    device = find_device(run.device)
    check_precision(settings.precision, device)
    check_compile(settings, device)


def translate_needs(settings: TranslateSettings, recipe: Recipe, _run: RunContext) -> None:
    """What minimum Bayes risk decoding needs to compare with."""
    if settings.mbr is not None:
        from mtkit.scoring.mbr import expected_utilities

        expected_utilities(settings.mbr.utility, recipe.target)


def score_needs(settings: ScoreSettings, recipe: Recipe, _run: RunContext) -> None:
    """What the metrics need, such as a tokenizer of the language."""
    from mtkit.scoring.metrics import open_metric

    for metric in settings.metrics:
        open_metric(metric, recipe.target)


def score(settings: ScoreSettings, reads: Reads, out: Path, run: RunContext, recipe: Recipe) -> None:
    """Scores of translations, with signatures."""
    from mtkit.scoring.stage import ScoreInputs, score_translations

    score_translations(settings, ScoreInputs(reads["translate"], recipe.target), out, run)
