"""How `mtkit translate` searches: options beyond the first ten, and what becomes of them."""

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mtkit.cli.options import MODEL_VARIABLE, RUNS, FiniteRange
from mtkit.config.search import MOST_PENALTY
from mtkit.errors import ModelError, RecipeError

if TYPE_CHECKING:
    from mtkit.config.search import SearchSettings
    from mtkit.config.settings import Settings
    from mtkit.translation.asked import Asked
    from mtkit.translation.choosing import Chooser
    from mtkit.translation.translator import Translator

Command = TypeVar("Command", bound=Callable[..., Any])
OPTION_NAMES = ("beam_size", "n_best", "length_penalty")  # settings that have an option of their own

models_option = click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar=MODEL_VARIABLE,
    show_envvar=True,
    help="Model folder, or a run that has one; repeated: they translate together, as an ensemble.  [default:"
    f" the newest finished run under ./{RUNS}]",
)
_OPTIONS = (
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SETTING=VALUE",
        help="Change a setting of search, such as sampling.top_k=10; may be repeated.",
    ),
    click.option(
        "--target-prefix", default="", metavar="TEXT", help="How every translation begins.  [default: freely]"
    ),
    click.option(
        "--with-prefixes",
        is_flag=True,
        help="Each line is source TAB how its translation begins.",
    ),
    click.option("--token-scores", is_flag=True, help="With --json: pieces and their log-probabilities too."),
    click.option(
        "--alignment", is_flag=True, help="With --json: which source piece each piece looked at too."
    ),
    click.option(
        "--average",
        type=click.Choice(["probabilities", "log-probabilities"]),
        help="What several models average.  [default: probabilities]",
    ),
    click.option(
        "--rerank-by",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Model of the other direction, whose log P(source | translation) counts too (noisy channel).",
    ),
    click.option(
        "--rerank-weight",
        type=FiniteRange(0, MOST_PENALTY, min_open=True),
        metavar="W",
        help="How much the reverse model counts.  [default: 1.0]",
    ),
)


def search_options(command: Command) -> Command:
    """Add the options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def search_settings(
    card: "SearchSettings", chosen: dict[str, Any], overrides: Sequence[str]
) -> "SearchSettings":
    """The model's own search settings with those changed that were given.

    Args:
        card: the model's own.
        chosen: what options give, by the names of settings; None: not given.
        overrides: of `--set`, which win.

    Raises:
        RecipeError: there is no such setting, one has no effect, or they do not fit together.
    """
    from mtkit.config.findings import findings

    given = {name: value for name, value in chosen.items() if value is not None}
    if twice := sorted(name for name in given if any(o.split("=")[0] == name for o in overrides)):
        option = _option(twice[0])
        raise RecipeError(
            f"given by {option} and by --set",
            where=option,
            expected="each setting once",
            advice="Leave one of them out.",
        )
    settings, named = _assigned(card, given, overrides)
    if "n_best" not in {*given, *named} and settings.sampling is None:  # a smaller beam has fewer to give
        settings = settings.model_copy(update={"n_best": min(settings.n_best, settings.beam_size)})
    for path, finding in findings(_chosen_now(settings, {*given, *named})):
        where = ".".join(map(str, (*path, *finding.path)))
        raise RecipeError(
            _in_options(finding.found),
            where=_option(where) if where in OPTION_NAMES else f"--set {where}",
            expected=_in_options(finding.expected),
            advice=_in_options(finding.advice),
        )
    if "n_best" in named and (settings.sampling is None or settings.mbr is not None):
        raise RecipeError(
            "it has no effect: one translation of each line is written",
            where="--set n_best",
            expected="a setting with an effect, such as the number of samples to choose from",
            advice=f"To write {settings.n_best} translations of each line, use `--n-best {settings.n_best}`.",
        )
    return settings


def _chosen_now(settings: "Settings", names: Collection[str], inside: str = "") -> "Settings":
    """The same settings, of which those of some names count as given: only they can be without effect.

    The model's own settings were nobody's choice here.
    """
    from mtkit.config.settings import Settings

    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    for name, value in values.items():
        if isinstance(value, Settings):
            values[name] = _chosen_now(value, names, f"{inside}{name}.")
    given = {name for name in values if f"{inside}{name}" in names}
    return type(settings).model_construct(_fields_set=given, **values)


def _assigned(
    card: "SearchSettings", given: dict[str, Any], overrides: Sequence[str]
) -> "tuple[SearchSettings, frozenset[str]]":
    """The model's settings with others laid over them, and which `--set` named."""
    changed = card.model_copy(update=given)  # the options' own types have judged them
    if not overrides:  # whoever gives no more does not wait for what reads YAML
        return changed, frozenset()
    from mtkit.config.assigning import assigned

    return assigned(changed, overrides)


def asked_for(options: Any, settings: "SearchSettings", folder: Path) -> "Asked":
    """What the options ask for beyond settings.

    Args:
        options: the command's options, the folders of all models found.
        settings: of search.
        folder: the model folder.

    Raises:
        RecipeError: one of them has no effect beside the others.
        ModelError: the model to rerank by is none, or not of the other direction.
    """
    from mtkit.translation.asked import Asked, Prefixes

    for name, holds, needs in (
        ("--token-scores", options.token_scores and not options.as_json, "--json"),
        ("--alignment", options.alignment and not options.as_json, "--json"),
        ("--average", options.average is not None and not options.others, "a second --model"),
        ("--rerank-weight", options.rerank_weight is not None and not options.rerank_by, "--rerank-by"),
    ):
        if holds:
            raise RecipeError(
                f"it has no effect without {needs}",
                where=name,
                expected="an option with an effect",
                advice=f"Remove it, or add {needs}.",
            )
    if options.with_prefixes and options.target_prefix:
        raise RecipeError(
            "given together with --with-prefixes",
            where="--target-prefix",
            expected="one prefix for all lines, or one in each",
            advice="Leave one of them out.",
        )
    return Asked(
        prefixes=Prefixes(options.target_prefix, options.with_prefixes),
        token_scores=options.token_scores or options.alignment,
        attention=options.alignment,
        others=options.others,
        average="log_probabilities" if options.average == "log-probabilities" else "probabilities",
        chooser=_chooser(options, settings, folder),
        from_whole_beam=options.rerank_by is not None,
        scores=options.scores or options.as_json or options.n_best is not None or options.strict is not None,
    )


def _chooser(options: Any, settings: "SearchSettings", folder: Path) -> "Chooser | None":
    """What ranks the hypotheses, where it is not search itself."""
    from mtkit.translation.choosing import ByReverse, ByUtility

    if options.rerank_by is not None:
        _check_rerank(settings, folder)
        weight = 1.0 if options.rerank_weight is None else options.rerank_weight
        return ByReverse(_reverse(options, folder), weight)
    if settings.mbr is None:
        return None
    from mtkit.model.folder import read_card
    from mtkit.scoring.mbr import expected_utilities

    return ByUtility(expected_utilities(settings.mbr.utility, read_card(folder).target_language))


def _check_rerank(settings: "SearchSettings", folder: Path) -> None:
    from mtkit.model.folder import read_card

    expected = "several hypotheses of a beam, or samples, that nothing else ranks"
    if settings.mbr is not None:
        is_own = read_card(folder).decoding.mbr is not None
        raise RecipeError(
            "the model's card has `mbr`, which ranks already" if is_own else "given together with mbr",
            where="--rerank-by",
            expected=expected,
            advice="Add `--set mbr=null`, or leave --rerank-by out." if is_own else "Leave one out.",
        )
    several = settings.n_best if settings.sampling is not None else settings.beam_size
    if several == 1:
        raise RecipeError(
            "nothing to rerank: there is one hypothesis",
            where="--rerank-by",
            expected=expected,
            advice="Raise --beam-size (or --n-best for samples).",
        )


def _reverse(options: Any, folder: Path) -> "Translator":
    """The model to rerank by, of the other direction."""
    from mtkit.config.search import SearchSettings
    from mtkit.model.folder import read_card
    from mtkit.translation.translator import Translator

    found = options.rerank_by
    card, other = read_card(folder), read_card(found)
    if (other.source_language, other.target_language) != (card.target_language, card.source_language):
        raise ModelError(
            f"it translates {other.source_language} to {other.target_language}",
            where=str(found),
            expected=f"a model from {card.target_language} to {card.source_language}",
            advice="Name a model of the other direction, trained on the same pairs.",
        )
    plain = SearchSettings()  # it searches nothing
    return Translator.open(found, plain, options.device, threads=options.threads, engine=options.engine)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _in_options(text: str) -> str:
    """A text about settings, with the options for those that have one: `beam_size: 1` is `--beam-size 1`."""
    named = re.compile(r"\b(" + "|".join(OPTION_NAMES) + r")\b(?!_)(:(?= \d))?")
    return named.sub(lambda found: _option(found[1]), text)
