"""The converted model in `ctranslate2/` of a model folder, and the certificate that it translates alike.

Light: what runs it is `ctranslate2_engine.py`, what makes it is the export room.
"""

from pathlib import Path
from typing import Any

from mtkit.config.export import Quantization
from mtkit.config.rules import Field
from mtkit.config.search import SearchSettings
from mtkit.config.settings import Settings
from mtkit.errors import ModelError
from mtkit.files import canonical_hash, read_versioned_json, sha256
from mtkit.model.folder import WEIGHTS, ModelCard, check_subword

CONVERTED = "ctranslate2"  # the folder, inside the model folder
CERTIFICATE = "certificate.json"
BINARY = "model.bin"  # CTranslate2's weights; what lies beside them are its config and vocabularies
OWN_HASH = "sha256"  # of all else that the certificate says; in the file alone
FORMAT = 3  # 2: it had no hash of its own
OLDEST = 2  # 1: ids that stand for no text were told to search, not written into the model


class Difference(Settings):
    """A probe line that the two engines translate differently.

    Attributes:
        line: its number among the probe lines, from 1.
        source: the line.
        torch: its translation by the torch engine.
        converted: its translation by the other.
        score_gap: the torch engine's score of its own, less the other's of its own, in nats.
        margin: by how many nats the closest decision of the torch engine's search fell as it did; None where
            weights were rounded.
        because: `tie` where that is nearly nothing, `quantization` where weights were rounded; empty where
            nothing excuses it.
    """

    line: int
    source: str
    torch: str
    converted: str
    score_gap: float
    margin: float | None
    because: str


class Attempt(Settings):
    """A conversion that was tried.

    Attributes:
        quantization: what weights were rounded to.
        finer: layers whose weights were left in float32.
        bleu_loss: BLEU that it cost on the probe lines with references; None: there are none.
        chrf_loss: likewise chrF.
        largest_gap: nats by which both differ about the same translation, at most.
        differences: lines translated differently.
        kept: True for the one that was written.
    """

    quantization: Quantization
    finer: list[str]
    bleu_loss: float | None
    chrf_loss: float | None
    largest_gap: float
    differences: int
    kept: bool


class Shortlist(Settings):
    """What a lexical shortlist looks at, and what it costs on the probe lines.

    Attributes:
        asked: target pieces of a source piece that were asked for.
        pieces: as many as are looked at.
        always: the most frequent ones, which are looked at for every source.
        pairs: sentence pairs that it was learnt from.
        bleu_loss: BLEU that it costs beside the torch engine, rounding counted.
        chrf_loss: likewise chrF.
        alike: lines translated as by the torch engine.
    """

    asked: int
    pieces: int
    always: int
    pairs: int
    bleu_loss: float
    chrf_loss: float
    alike: int


class Certificate(Settings):
    """That a converted model translates like its original: what was compared, and what was found."""

    format: int = Field(default=FORMAT, ge=OLDEST, description="version of the certificate's layout")
    mtkit: str = Field(description="version of mtkit that made it")
    ctranslate2: str = Field(description="version of CTranslate2 that was compared")
    quantization: Quantization = Field(description="what weights were rounded to")
    finer: list[str] = Field(description="layers whose weights were left in float32")
    computed: str | None = Field(
        default=None,
        description="what it was computed in while it was compared; None: in what it was rounded to",
    )
    asked: Quantization = Field(description="what was asked for")
    attempts: list[Attempt] = Field(description="everything that was tried, in order")
    most_bleu_loss: float = Field(description="BLEU that rounding was allowed to cost")
    most_chrf_loss: float = Field(description="chrF that rounding was allowed to cost")
    search: SearchSettings = Field(description="how the probe lines were translated")
    probe: dict[str, int] = Field(description="how many lines, by where they come from")
    alike: int = Field(description="lines translated alike, token for token")
    differences: list[Difference] = Field(description="lines translated differently")
    scores: dict[str, dict[str, Any]] = Field(
        description="metric → torch, converted and signature, on the lines with references"
    )
    max_tokens: int | None = Field(description="most tokens of a side, end mark counted; None: any number")
    shortlist: Shortlist | None = Field(
        default=None, description="the lexical shortlist that is searched with, if any"
    )
    weights: str = Field(description="SHA-256 of the weights that were converted")
    files: dict[str, str] = Field(description="SHA-256 of each file beside this one")

    @property
    def compared_in(self) -> str:
        """What it was computed in while it was compared, and is when it translates."""
        return self.computed or self.quantization

    def written(self) -> dict[str, Any]:
        """For a file, with the hash of all that it says."""
        values = self.model_dump(mode="json") | {"search": self.search.written()}
        return values | {OWN_HASH: canonical_hash(values)}

    def line(self) -> str:
        """It in one line for people."""
        lines = sum(self.probe.values())
        finer = f" with {len(self.finer)} of the layers in float32" if self.finer else ""
        computed = f", computed in {self.computed}" if self.computed else ""
        what = f"{self.quantization}{finer}{computed}"
        facts = [f"{what}: {self.alike:,} of {lines:,} probe lines alike, token for token"]
        if ties := sum(one.because == "tie" for one in self.differences):
            facts.append(f"{ties:,} too close to tell")
        facts += [
            f"{name} {found['converted']:.2f} (torch {found['torch']:.2f})"
            for name, found in self.scores.items()
        ]
        if (short := self.shortlist) is not None:
            lost = f"{short.bleu_loss:.2f} bleu and {short.chrf_loss:.2f} chrf lost"
            facts.append(f"shortlist of {short.pieces:,}: {lost}")
        return " · ".join(facts)


def is_converted(folder: Path) -> bool:
    """True if a model folder holds a converted model, whole or not."""
    return (folder / CONVERTED).is_dir()


def read_certificate(folder: Path) -> Certificate:
    """The certificate of a model folder's converted model, if its own hash is right; files are not looked at.

    Raises:
        ModelError: there is none, it is damaged, or of a newer version.
    """
    path = folder / CONVERTED / CERTIFICATE
    if not is_converted(folder):
        raise ModelError(
            "this model has not been converted",
            where=str(folder),
            expected=f"a folder {CONVERTED}/ with {CERTIFICATE}",
            advice=f"Run `mtkit export ctranslate2 {folder}`, or translate with `--engine torch`.",
        )
    if not path.is_file():
        raise _damaged(path, "the certificate of the converted model is missing")
    values = read_versioned_json(path, FORMAT, error=ModelError)
    if isinstance(values, dict) and values.get("format") in range(1, OLDEST):
        raise _damaged(path, "converted by an older mtkit, which searched otherwise")
    own_hash = values.pop(OWN_HASH, None) if isinstance(values, dict) else None
    try:
        if own_hash is not None and own_hash == canonical_hash(values):
            return Certificate.restored(values)
        certificate = Certificate.model_validate(values)
    except ValueError as error:  # pydantic's error is one
        from mtkit.config.judging import misfits

        wrong = ", ".join(misfits(error))
        raise _damaged(path, f"not a certificate{wrong and '; missing or wrong: '}{wrong}") from error
    if own_hash is not None:
        raise _damaged(path, "the certificate is not the one that was written")
    return certificate


def check_converted(folder: Path, card: ModelCard) -> Certificate:
    """Read the certificate and compare every file of the converted model, and of the vocabularies that its
    ids are of, with its hash.

    Raises:
        ModelError: as `read_certificate`; or a file is missing or changed, or was made from other weights.
    """
    certificate = read_certificate(folder)
    inside = folder / CONVERTED
    for name in sorted({BINARY, *certificate.files}):
        path = inside / name
        if Path(name).name != name or not path.is_file():
            raise _damaged(path, "this file of the converted model is missing")
        if sha256(path) != certificate.files.get(name):
            raise _damaged(path, "the file is not the one that was certified")
    if certificate.weights != card.files.get(WEIGHTS):
        raise _damaged(inside, f"converted from other weights than those in {WEIGHTS}")
    check_subword(folder, card)
    return certificate


def _damaged(path: Path, found: str) -> ModelError:
    return ModelError(
        found,
        where=str(path),
        expected="the files as `mtkit export ctranslate2` wrote them",
        advice=f"Export the model again, or delete {CONVERTED}/: torch computes without it.",
    )
