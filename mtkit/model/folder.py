"""The model folder's card, `model.json`: all that is known of a model without its weights. Light: no torch.

A model folder holds `model.json`, `model.safetensors` and `subword/`; it can be moved anywhere as a whole.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from mtkit.config.model import ModelSettings
from mtkit.config.rules import Field
from mtkit.config.search import SearchSettings
from mtkit.config.settings import Settings
from mtkit.errors import ModelError
from mtkit.files import canonical_hash, read_versioned_json, sha256, write_json

FORMAT = 1  # raised when a reader of the old format could not read the new one
CARD = "model.json"
WEIGHTS = "model.safetensors"
IMPORTED = "imported"  # of provenance: from where
TARGET_SCRIPTS = "target_scripts"  # of provenance, where versions that do not know of it leave it alone
OWN_HASH = "card_sha256"  # likewise, but in the file alone: of all else that the card says
SUBWORD = "subword"  # the folder of the subword model, inside the model folder


class ModelCard(Settings):
    """What a model is, how it is used and where it comes from."""

    format: int = Field(default=FORMAT, ge=1, description="version of the folder's format")
    architecture: ModelSettings = Field(description="the Transformer's shape")
    source_language: str = Field(description="language it reads")
    target_language: str = Field(description="language it writes")
    normalize: Literal["none", "nfc", "nfkc"] = Field(description="Unicode form of the text it reads")
    source_size: int = Field(ge=1, description="ids of the source vocabulary")
    target_size: int = Field(ge=1, description="ids of the target vocabulary")
    output_bias: bool = Field(
        default=False, description="True if a vector is added to the logits, as in models of other toolkits"
    )
    max_tokens: int | None = Field(
        default=None,
        ge=2,
        description="longest side it was trained on, in tokens, EOS counted; longer text is split",
    )
    decoding: SearchSettings = Field(
        default_factory=SearchSettings, description="how it translates unless told otherwise"
    )
    provenance: dict[str, Any] = Field(
        default_factory=dict,
        description="recipe, licences of the data, training figures, scores with signatures",
    )
    files: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of each file of the folder; filled in when it is saved"
    )

    @property
    def target_scripts(self) -> frozenset[str]:
        """The scripts of the target side that it was trained on; none: not known, as with older cards."""
        return frozenset(self.provenance.get(TARGET_SCRIPTS, ()))

    def written(self) -> dict[str, Any]:
        """For a file, with the hash of all that it says; what only imported models have stands in their cards
        alone, so that older versions read the others."""
        values = self.model_dump(mode="json", exclude=None if self.output_bias else {"output_bias"})
        values |= {"decoding": self.decoding.written()}
        return values | {"provenance": {**values["provenance"], OWN_HASH: canonical_hash(values)}}


def subword_folder(folder: Path) -> Path:
    """Where the subword model of a model folder is."""
    return folder / SUBWORD


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `model.json`, with the hashes of the files that are in the folder now, and its own."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / CARD
    )
    files = {name: sha256(folder / name) for name in names}
    write_json(folder / CARD, card.model_copy(update={"files": files}).written())


def read_card(folder: Path) -> ModelCard:
    """Read `model.json` and compare it with its own hash; nothing else in the folder is looked at.

    Raises:
        ModelError: no model folder, a newer format, or a card that is not what it should be, or was.
    """
    path = folder / CARD
    if not path.is_file():
        raise ModelError(
            f"no {CARD} in this folder" if folder.is_dir() else "no such folder",
            where=str(folder),
            expected=f"a model folder: {CARD}, {WEIGHTS}, {SUBWORD}/",
            advice="Name the `model` folder of a finished training stage.",
        )
    value = read_versioned_json(path, FORMAT, error=ModelError)
    own_hash = _taken_out(value)
    try:
        if own_hash is not None and own_hash == canonical_hash(value):
            return ModelCard.restored(value)
        card = ModelCard.model_validate(value)
    except ValueError as error:  # pydantic's error is one
        from mtkit.config.judging import misfits

        wrong = ", ".join(misfits(error))
        raise ModelError(
            f"not a model card; missing or wrong: {wrong}" if wrong else "not a model card",
            where=str(path),
            expected="the card as mtkit wrote it",
            advice="Restore the model folder from where it was copied.",
        ) from error
    if own_hash is not None:
        raise _damaged(path, "the card is not the one that was saved", "what matches the card's own SHA-256")
    return card


def _taken_out(value: Any) -> Any:
    """The hash that a card says it has, which is not hashed itself; None: made before there was one."""
    provenance = value.get("provenance") if isinstance(value, dict) else None
    return provenance.pop(OWN_HASH, None) if isinstance(provenance, dict) else None


def check_folder(folder: Path) -> ModelCard:
    """Read the card and compare every file with its hash.

    Raises:
        ModelError: as `read_card`; or a file is missing, cut short or changed.
    """
    card = read_card(folder)
    _check_files(folder, card, {WEIGHTS, *card.files})
    return card


def check_subword(folder: Path, card: ModelCard) -> None:
    """Compare the files of the subword model alone with their hashes.

    Raises:
        ModelError: one is missing, cut short or changed.
    """
    _check_files(folder, card, {name for name in card.files if name.startswith(f"{SUBWORD}/")})


def _check_files(folder: Path, card: ModelCard, names: Iterable[str]) -> None:
    for name in card.files:
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise _damaged(folder / CARD, f"{name!r} leaves the model folder", "names inside the folder")
    for name in sorted(names):
        path = folder / name
        if not path.is_file():
            raise _damaged(path, "this file of the model is missing", "all files that the card lists")
        if sha256(path) != card.files.get(name):
            raise _damaged(
                path, "the file is not the one that was saved", "bytes that match the card's SHA-256"
            )


def _damaged(path: Path, found: str, expected: str) -> ModelError:
    advice = "Restore the model folder from where it was copied, or train again."
    return ModelError(found, where=str(path), expected=expected, advice=advice)
