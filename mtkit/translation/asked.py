"""What users ask of translations in text, made into ids: how they begin, what they may not contain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtkit.config.search import Average, SearchSettings
from mtkit.corpus.normalize import normalize
from mtkit.errors import DataError, ModelError, RecipeError
from mtkit.files import NO_CHARACTER
from mtkit.model.folder import SUBWORD, ModelCard, read_card
from mtkit.search.demands import Banned
from mtkit.search.length import length_limit
from mtkit.subword.vocabulary import UNK, Side
from mtkit.translation.choosing import Chooser

_SHOWN = 40  # characters of a line in a message


@dataclass(frozen=True)
class Prefixes:
    """How the translations of lines must begin.

    Attributes:
        text: for all lines; empty: as they like.
        in_lines: each line holds its own, behind a tab.
    """

    text: str = ""
    in_lines: bool = False

    def split(self, line: str) -> tuple[str, str]:
        """A line as it came → what is translated, and how its translation begins."""
        if not self.in_lines:
            return line, self.text
        source, _, prefix = line.partition("\t")
        return source, prefix


@dataclass(frozen=True)
class Asked:
    """What users ask for beyond the settings of search.

    Attributes:
        prefixes: how translations must begin.
        token_scores: say of each piece how probable it is; costs another reading of what was found.
        attention: and which source pieces it looked at; with `token_scores` only.
        others: model folders that translate together with the first, as an ensemble.
        average: what of the models is averaged.
        chooser: ranks what search found; None: by its scores.
        scores: somebody reads the scores, which then are the model's own even if search knows better ones.
        from_whole_beam: the chooser has the whole beam to choose from, whatever `n_best` says.
    """

    prefixes: Prefixes = Prefixes()
    token_scores: bool = False
    attention: bool = False
    others: tuple[Path, ...] = ()
    average: Average = "probabilities"
    chooser: Chooser | None = None
    from_whole_beam: bool = False
    scores: bool = False

    @property
    def of_torch(self) -> str:
        """What only the torch engine can do of it, or nothing."""
        wishes = {
            "several models": bool(self.others),
            "a target prefix": bool(self.prefixes.text) or self.prefixes.in_lines,
            "attention": self.attention,
        }
        return next((name for name, wished in wishes.items() if wished), "")

    @property
    def every_score(self) -> bool:
        """True if the model's own probability of everything found is wanted."""
        return self.scores or self.chooser is not None


NOTHING_ASKED = Asked()


class Codec(Protocol):
    """What is asked of the vocabularies here."""

    def encode(self, lines: Sequence[str], side: Side) -> list[list[int]]:
        """Ids of each normalised line, without BOS and EOS."""
        ...

    def size(self, side: Side) -> int:
        """How many ids there are."""
        ...

    def pieces(self, ids: Sequence[int], side: Side) -> list[str]:
        """The pieces that ids stand for."""
        ...

    def spelt(self, side: Side) -> tuple[bytes, ...]:
        """What each id adds to a text."""
        ...


def check_together(folder: Path, others: Sequence[Path]) -> None:
    """Refuse models that cannot speak together.

    Raises:
        ModelError: the languages are not the same; the vocabularies are not, bit for bit; or the texts are
            normalised differently.
    """
    if not others:
        return
    first = read_card(folder)
    for other in others:
        card = read_card(other)
        if _direction(card) != _direction(first):
            raise ModelError(
                f"it translates {card.source_language} to {card.target_language}",
                where=str(other),
                expected=f"a model from {first.source_language} to {first.target_language}, as {folder} is",
                advice="Name models of one direction, or translate with each by itself.",
            )
        names = sorted(name for name in {*first.files, *card.files} if name.startswith(f"{SUBWORD}/"))
        differing = [name for name in names if first.files.get(name) != card.files.get(name)]
        if card.normalize != first.normalize:
            differing.append("normalize")
        if differing:
            raise ModelError(
                f"its vocabulary is not that of {folder}: {', '.join(differing)} differ",
                where=str(other),
                expected="models that were trained with the same subword stage",
                advice="Train them with one recipe and several seeds, or translate with each by itself.",
            )


def _direction(card: ModelCard) -> tuple[str, str]:
    return card.source_language, card.target_language


def banned(settings: SearchSettings, codec: Codec, form: str) -> Banned | None:
    """What the settings ban, for search; None if that is nothing.

    Args:
        settings: `suppress` and `suppress_pieces`.
        codec: the target's vocabulary.
        form: normal form of the model's text.

    Raises:
        RecipeError: a piece is not in the vocabulary, or a text is blank.
    """
    if not settings.suppress and not settings.suppress_pieces:
        return None
    numbers: dict[str, int] = {}
    if settings.suppress_pieces:
        known = codec.pieces(range(codec.size("target")), "target")
        numbers = {piece: number for number, piece in enumerate(known)}
    ids = tuple(_number(piece, numbers) for piece in settings.suppress_pieces)
    texts = tuple(_with_edges(text, form).encode() for text in settings.suppress)
    return Banned(ids, texts, codec.spelt("target") if texts else ())


def prefix_ids(
    prefix: str,
    where: str,
    source_ids: Sequence[int],
    search: SearchSettings,
    codec: Codec,
    form: str,
    positions: int | None = None,
) -> tuple[int, ...]:
    """The ids that a translation begins with.

    Args:
        prefix: the text; blank: none.
        where: the line that is translated, for messages.
        source_ids: of its first part.
        search: says how long a translation may be.
        codec: the target's vocabulary.
        form: normal form of the model's text.
        positions: most tokens that the model can write, where positions are learned; None: any number.

    Raises:
        DataError: it leaves a translation no room, or the model cannot write it.
    """
    text = normalize(NO_CHARACTER.sub("\ufffd", prefix), form)
    ids = codec.encode([text], "target")[0] if text else []
    if UNK in ids:
        raise DataError(
            f"the target prefix {_short(prefix)!r} has characters that the model has no piece for",
            where=where,
            expected="text that the model can write",
            advice="Leave these characters out.",
        )
    limit = length_limit(len(source_ids), search, positions)
    if len(ids) >= limit:
        is_models = positions is not None and len(ids) >= positions
        raise DataError(
            f"the target prefix {_short(prefix)!r} has {len(ids)} tokens",
            where=where,
            expected=f"fewer than the {limit} that "
            + ("this model can write" if is_models else "this translation may have"),
            advice="Shorten it." if is_models else "Shorten it, or raise max_length_extra.",
        )
    return tuple(ids)


def _number(piece: str, numbers: dict[str, int]) -> int:
    if piece in numbers:
        return numbers[piece]
    from mtkit.config.nearest import did_you_mean

    near = did_you_mean(piece, numbers)
    raise RecipeError(
        f"no piece {piece!r} in the target vocabulary",
        where="suppress_pieces",
        expected="pieces of the model, as `mtkit translate --json --token-scores` shows them",
        advice=near or "Write a text into `suppress` to keep it out however it is cut.",
    )


def _with_edges(text: str, form: str) -> str:
    """Normalised, with the spaces at its ends kept: they stand for a word's edge."""
    inside = normalize(text, form)
    if not inside:
        raise RecipeError(
            f"a blank text, {text!r}",
            where="suppress",
            expected="texts that no translation shall contain",
            advice="Remove it.",
        )
    return f"{' ' * text[0].isspace()}{inside}{' ' * text[-1].isspace()}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def searched_with(settings: SearchSettings, asked: Asked) -> SearchSettings:
    """What the engine is asked for: as many hypotheses as there shall be to choose from.

    Raises:
        RecipeError: the settings choose by a utility, and nobody gave one.
    """
    if settings.mbr is not None and asked.chooser is None:
        raise RecipeError(
            "`mbr` needs somebody who computes the utility",
            where="mbr",
            expected="`Asked(chooser=ByUtility(expected_utilities(...)))`, as the commands do it",
            advice="Hand the translator a chooser, or open it with settings without `mbr`.",
        )
    if asked.chooser is None:
        return settings
    whole_beam = asked.from_whole_beam and settings.sampling is None
    return settings.model_copy(update={"n_best": settings.beam_size if whole_beam else settings.hypotheses})
