"""Which kinds of stage there are. Light: the functions are named here and imported only when they run.

Whoever changes what a kind writes raises its version; a golden test of each kind's tiny output reminds of it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mtkit.config.corpus import CorpusSettings
from mtkit.config.export import ExportSettings
from mtkit.config.kind import Kind
from mtkit.config.scoring import ScoreSettings
from mtkit.config.search import TranslateSettings
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import TrainSettings

CORPUS = Kind(
    name="corpus",
    version=2,  # with what `splits` holds out
    settings=CorpusSettings,
    function="mtkit.pipeline.stages:corpus",
    purpose="sentence pairs: read, normalised, filtered, split",
    identity="mtkit.pipeline.stages:corpus_identity",
    uses_languages=True,
)
SUBWORD = Kind(
    name="subword",
    version=1,
    settings=SubwordSettings,
    function="mtkit.pipeline.stages:subword",
    purpose="a vocabulary of pieces, learned from the training text",
    reads=MappingProxyType({"corpus": "corpus"}),
    uses_seed=True,
)
TRAIN = Kind(
    name="train",
    version=5,
    settings=TrainSettings,
    function="mtkit.pipeline.stages:train",
    forecast="mtkit.pipeline.stages:train_forecast",
    check="mtkit.pipeline.stages:train_needs",
    purpose="a model folder, learned from the training pairs",
    reads=MappingProxyType({"corpus": "corpus", "subword": "subword"}),
    uses_seed=True,
    uses_languages=True,
    resumes=True,
)
EXPORT = Kind(
    name="export",
    version=5,  # with what was computed in, in the certificate
    settings=ExportSettings,
    function="mtkit.pipeline.stages:export",
    check="mtkit.pipeline.stages:export_needs",
    identity="mtkit.pipeline.stages:export_identity",
    purpose="the model for another engine, with proof that it translates alike",
    reads=MappingProxyType({"corpus": "corpus", "train": "train"}),
)
TRANSLATE = Kind(
    name="translate",
    version=4,  # with words at a beginning suppressed, and empty samples alike for MBR
    settings=TranslateSettings,
    function="mtkit.pipeline.stages:translate",
    check="mtkit.pipeline.stages:translate_needs",
    purpose="translations of a held-out split",
    reads=MappingProxyType({"corpus": "corpus", "train": "train"}),
)
SCORE = Kind(
    name="score",
    version=1,
    settings=ScoreSettings,
    function="mtkit.pipeline.stages:score",
    check="mtkit.pipeline.stages:score_needs",
    purpose="scores of translations, with signatures",
    reads=MappingProxyType({"translate": "translate"}),
    uses_languages=True,
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (CORPUS, SUBWORD, TRAIN, EXPORT, TRANSLATE, SCORE)}
)
