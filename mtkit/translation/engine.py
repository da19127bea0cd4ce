"""What translates ids: the protocol that engines keep, and the door that opens one. Light: no torch here."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

from mtkit.config.search import Average, SearchSettings
from mtkit.errors import ModelError
from mtkit.model.folder import read_card
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.length import length_limit
from mtkit.search.token_scores import TokenScores
from mtkit.translation.converted import CONVERTED, is_converted, read_certificate
from mtkit.translation.long_input import source_limit

Wish = Literal["auto", "torch", "ctranslate2"]


class Choice(NamedTuple):
    """Which engine translates.

    Attributes:
        engine: its name.
        because: why it is not the one that would be quicker; empty where nothing needs to be said.
    """

    engine: Literal["torch", "ctranslate2"]
    because: str = ""


class Engine(Protocol):
    """A loaded model that can search and score; ids in, ids out."""

    @property
    def certified(self) -> str:
        """Hash of the converted files that it computes with, as their certificate names them; empty: none."""
        ...

    @property
    def device(self) -> str:
        """The kind of device that it computes on: `cpu` or `cuda`."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """Most tokens of a side that it has positions for, EOS counted; None: any number."""
        ...

    def search(
        self, sources: Sequence[Sequence[int]], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        """Translate each source.

        Args:
            sources: source ids of each sentence, at least one, without EOS.
            settings: beam size, n-best, length penalty, length limits, and more.
            demands: how translations must begin, and what they may not contain.

        Returns:
            For each source, in order, at most `n_best` hypotheses, best first, at least one.
        """
        ...

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """log P(target | source) of each pair, in nats, EOS included.

        Args:
            sources: source ids without EOS.
            targets: target ids without BOS and EOS.
        """
        ...

    def token_scores(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        finished: Sequence[bool],
        *,
        attention: bool = False,
    ) -> list[TokenScores]:
        """The same token by token, and what each token attended to if asked.

        Args:
            sources: source ids without EOS.
            targets: target ids without BOS and EOS.
            finished: whether EOS follows, and is one of the tokens.
            attention: say what each token attended to.
        """
        ...


@runtime_checkable
class SearchesBeside(Protocol):
    """An engine that searches while its caller does something else."""

    def begin(
        self, sources: Sequence[Sequence[int]], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> Callable[[], list[list[Hypothesis]]]:
        """As `Engine.search`; what it gives waits for the search and gives what was found."""
        ...

    def window_tokens(self) -> int:
        """How many source tokens are best begun at once: few, as more can be begun before those are found."""
        ...


def begun(
    engine: Engine, sources: Sequence[Sequence[int]], settings: SearchSettings, demands: Demands
) -> Callable[[], list[list[Hypothesis]]]:
    """Begin a search if the engine can, or be ready to search; what is given gives what is found."""
    asked = (sources, settings, demands) if demands.any else (sources, settings)
    if isinstance(engine, SearchesBeside):
        return engine.begin(*asked)
    return partial(engine.search, *asked)


def open_engine(
    folder: Path,
    device: str = "auto",
    *,
    threads: int | None = None,
    batch_tokens: int,
    choice: Choice | None = None,
    say: Callable[[str], None] = lambda _: None,
    every_score: bool = False,
) -> Engine:
    """Load the model of a model folder.

    Args:
        folder: the model folder.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        threads: CPU threads; None: all cores.
        batch_tokens: source tokens, padding included, that are translated at once.
        choice: which engine, as `choose_engine` says; None: torch.
        say: hears how CTranslate2 shares out the threads, once there is enough to choose by.
        every_score: give the model's own probability of everything found, even where a shortlist has others.

    Raises:
        ModelError: the folder holds no model that this version can load.
        RunError: there is no such device here.
    """
    if choice is not None and choice.engine == "ctranslate2":
        from mtkit.model.cores import default_threads
        from mtkit.translation.ctranslate2_engine import CTranslate2Engine

        wanted = threads or default_threads()
        return CTranslate2Engine.load(
            folder,
            read_card(folder),
            device=device,
            threads=wanted,
            batch_tokens=batch_tokens,
            say=say,
            every_score=every_score,
        )
    from mtkit.translation.torch_engine import TorchEngine

    return TorchEngine.load(folder, device, threads=threads, batch_tokens=batch_tokens)


def open_ensemble(others: Sequence[Path], average: Average) -> Callable[..., Engine]:
    """What opens a model folder, as `open_engine` does, together with others of the same vocabularies.

    Args:
        others: their model folders.
        average: what of the models is averaged.
    """

    def opened(
        folder: Path, device: str, *, threads: int | None, batch_tokens: int, choice: Choice
    ) -> Engine:
        assert choice.engine == "torch", "no other engine takes several models"
        from mtkit.translation.torch_engine import TorchEngine

        return TorchEngine.load(
            folder, device, threads=threads, batch_tokens=batch_tokens, others=others, average=average
        )

    return opened


def choose_engine(
    folder: Path,
    settings: SearchSettings,
    device: str = "auto",
    wish: Wish = "auto",
    of_torch: str = "",
) -> Choice:
    """Which engine translates: CTranslate2 where the model was converted and a CPU computes, else torch.

    Args:
        folder: the model folder.
        settings: how to search; not every engine knows every setting.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        wish: an engine that must be taken, or `auto`.
        of_torch: something else that is wanted and that only torch can do.

    Raises:
        ModelError: the engine that must be taken cannot, or none is installed.
    """
    if wish == "torch" or (wish == "auto" and not is_converted(folder)):
        return Choice("torch") if _installed("torch") else _none_installed(folder)
    if not is_converted(folder):
        read_certificate(folder)  # which tells how to convert it
    reason = f"only torch can do {of_torch}" if of_torch else None
    reason = reason or _against_ctranslate2(folder, settings, device, wish)
    if reason is None:
        return Choice("ctranslate2")
    if wish == "auto" and _installed("torch"):
        return Choice("torch", reason)
    raise ModelError(
        reason,
        where=str(folder),
        expected="a model, settings and a device that CTranslate2 can translate with",
        advice="Leave `--engine` out, or use `--engine torch`."
        if _installed("torch")
        else "Mend this, or install torch, which can: `pip install torch`.",
    )


def _against_ctranslate2(folder: Path, settings: SearchSettings, device: str, wish: Wish) -> str | None:
    """Why CTranslate2 cannot translate here, or None. A damaged folder is no reason: it is an error later."""
    if not _installed("ctranslate2"):
        return "the package ctranslate2 is not installed"
    from mtkit.translation.ctranslate2_loading import (
        gpu_number,
        graphics_cards,
        uncomputable,
        unreachable,
        unsupported,
    )

    if reason := unreachable(device):
        return reason
    torch_may = wish == "auto" and _installed("torch")
    for_a_gpu = gpu_number(device) is not None or (device == "auto" and graphics_cards() > 0)
    if torch_may and for_a_gpu and _torch_has_gpu():
        return "this machine has a GPU, which torch computes on"
    certificate = read_certificate(folder)
    if reason := unsupported(settings) or uncomputable(certificate.compared_in, device):
        return reason
    return _beyond_positions(folder, settings, certificate.max_tokens) if torch_may else None


def _torch_has_gpu() -> bool:
    """True if torch, which is imported here, computes on a GPU: one that is built for CPUs alone does not."""
    from mtkit.model.device import find_device

    return find_device("auto").type == "cuda"


def _beyond_positions(folder: Path, settings: SearchSettings, positions: int | None) -> str | None:
    """Why a converted model with so many positions is not for all that may be read and written, or None."""
    if positions is None:
        return None
    card = read_card(folder)
    read = source_limit(card.architecture, card.max_tokens)
    tokens = max(read, length_limit(read - 1, settings, card.architecture.most_positions))
    if tokens <= positions:
        return None
    return f"a side may have {tokens:,} tokens, and the converted model has {positions:,} positions"


def _installed(package: str) -> bool:
    """True if a package can be imported; it is not."""
    return find_spec(package) is not None


def _none_installed(folder: Path) -> NoReturn:
    raise ModelError(
        "translating with this model needs torch, which is not installed",
        where=str(folder),
        expected=f"torch, or a folder {CONVERTED}/ beside the model",
        advice="Install torch (`pip install torch`), or run `mtkit export ctranslate2` where torch is.",
    )
