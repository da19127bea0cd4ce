"""Settings of search and of the translate stage."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings

_OF_A_BEAM = ("beam_size", "n_best", "length_penalty", "max_length_factor", "max_length_extra")
LEAST_TEMPERATURE = 0.01  # below, whatever is not the most probable token has no share left that can be told
MOST_TOKENS_EACH = 1000  # of a translation for one of the source: beyond what any language needs
MOST_TOKENS = 1_000_000  # likewise of a short text: a model that never ends one comes to an end
MOST_HYPOTHESES = 10_000  # of a sentence: beyond any use; all are held until they are ranked
MOST_PENALTY = 1000  # of what is added to scores or divides them: beyond, they are no longer numbers
Average = Literal["probabilities", "log_probabilities"]  # what of several models is averaged


class Sampling(Settings):
    """Each token is drawn at random; a line's samples depend on the line and the seed alone."""

    temperature: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="logits are divided by it: below 1 bolder, above 1 more varied; at least"
        f" {LEAST_TEMPERATURE:g}",
    )
    top_k: int | None = Field(
        default=None, ge=1, description="draw from the k most probable (Fan et al. 2018); null: from all"
    )
    top_p: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="draw from the fewest with this share of probability (nucleus; Holtzman et al. 2020)",
    )
    seed: int = Field(default=1, ge=0, description="another seed, other samples")

    def findings(self) -> Iterator[Finding]:
        if self.top_k != 1:
            if self.temperature < LEAST_TEMPERATURE:
                yield Finding(
                    ("temperature",),
                    f"a temperature of {self.temperature:g}",
                    f"a temperature of at least {LEAST_TEMPERATURE:g}",
                    "For what is most probable search greedily: remove `sampling`, and set `beam_size` to 1.",
                )
            return
        for name in ("temperature", "top_p", "seed"):
            if name in self.model_fields_set and getattr(self, name) is not None:
                yield _no_effect((name,), "drawing from one token (`top_k: 1`)", "raise `top_k`")


class Diversity(Settings):
    """Groups of hypotheses that avoid each other's tokens (diverse beam search; Vijayakumar et al. 2018)."""

    groups: int = Field(ge=2, le=100, description="groups of beam_size/groups hypotheses each")
    strength: float = Field(
        default=0.5,
        gt=0,
        description="nats off a token for each hypothesis of earlier groups that took it this step",
    )


class Mbr(Settings):
    """The translation most like the others: minimum Bayes risk (Eikema and Aziz 2020)."""

    utility: Literal["chrf", "bleu"] = Field(default="chrf", description="what likeness is")
    candidates: int = Field(
        default=20,
        ge=2,
        le=MOST_HYPOTHESES,
        description="samples, or hypotheses of the beam, to choose from",
    )


class SearchSettings(Settings):
    """Search: how a translation is looked for."""

    beam_size: int = Field(default=5, ge=1, le=100, description="hypotheses followed at once; 1: greedy")
    n_best: int = Field(
        default=1, ge=1, le=MOST_HYPOTHESES, description="hypotheses returned; at most the beam size"
    )
    length_penalty: float = Field(
        default=0.6,
        ge=0,
        le=MOST_PENALTY,
        description="alpha of ((5+T)/6)^alpha (Wu et al. 2016, equation 14); 0: none",
    )
    length_penalty_form: Literal["wu", "average", "reward"] = Field(
        default="wu",
        description="what length_penalty is: alpha of Wu et al.; alpha of T^alpha, so that 1 is the mean"
        " (Koehn and Knowles 2017); or nats added a token (He et al. 2016)",
    )
    coverage_penalty: float = Field(
        default=0.0,
        ge=0,
        le=MOST_PENALTY,
        description="beta of beta * sum of log(min(attention a source token got, 1)) (Wu et al. 2016,"
        " equation 14); 0: none",
    )
    min_length_factor: float = Field(
        default=0.0,
        ge=0,
        le=MOST_TOKENS_EACH,
        description="a translation has at least factor times source tokens + extra tokens",
    )
    min_length_extra: int = Field(default=0, ge=0, le=MOST_TOKENS, description="see min_length_factor")
    max_length_factor: float = Field(
        default=2.0,
        gt=0,
        le=MOST_TOKENS_EACH,
        description="a translation has at most factor times source tokens + extra tokens",
    )
    max_length_extra: int = Field(default=20, ge=1, le=MOST_TOKENS, description="see max_length_factor")
    patience: float = Field(
        default=2.0,
        ge=1,
        le=10,
        description="search stops when patience times beam_size hypotheses have ended (Kasai et al. 2022);"
        " 1 is quicker and a little worse",
    )
    no_repeat_ngram: int = Field(
        default=0,
        ge=0,
        description="no run of so many pieces comes twice (Paulus et al. 2018, section 2.5); 0: may",
    )
    suppress: list[str] = Field(
        default=[],
        description="texts that no translation contains; a space at an end stands for a word's edge",
    )
    suppress_pieces: list[str] = Field(default=[], description="pieces that are never produced")
    sampling: Sampling | None = Field(default=None, description="draw n_best samples; null: beam search")
    diversity: Diversity | None = Field(
        default=None, description="a beam in groups that differ; null: one beam"
    )
    mbr: Mbr | None = Field(default=None, description="choose what is most like the others; null: by score")

    def findings(self) -> Iterator[Finding]:
        if self.n_best > self.beam_size and self.sampling is None:
            yield Finding(
                ("n_best",),
                f"{self.n_best} best of a beam of {self.beam_size}",
                "n_best at most beam_size",
                "Raise `beam_size` or lower `n_best`.",
            )
        yield from self._of_candidates()
        yield from self._of_lengths()
        yield from self._of_ranking()
        yield from self._of_sampling()
        if self.diversity is not None and self.sampling is None and self.beam_size % self.diversity.groups:
            yield Finding(
                ("diversity", "groups"),
                f"{self.diversity.groups} groups of a beam of {self.beam_size}",
                "a divisor of `beam_size`",
                "Change `groups` or `beam_size`.",
            )

    @property
    def hypotheses(self) -> int:
        """How many hypotheses of a sentence search returns; `n_best` of them stay."""
        return self.n_best if self.mbr is None else self.mbr.candidates

    def _of_candidates(self) -> Iterator[Finding]:
        if self.mbr is None:
            return
        if self.sampling is None and self.mbr.candidates > self.beam_size:
            yield Finding(
                ("mbr", "candidates"),
                f"{self.mbr.candidates} candidates of a beam of {self.beam_size}",
                "at most beam_size, or sampling",
                "Add `sampling`, raise `beam_size`, or lower `candidates`.",
            )
        if self.n_best > self.mbr.candidates:
            yield Finding(
                ("n_best",),
                f"{self.n_best} best of {self.mbr.candidates} candidates",
                "n_best at most mbr.candidates",
                "Raise `mbr.candidates` or lower `n_best`.",
            )
        for name in ("length_penalty", "length_penalty_form", "coverage_penalty"):
            if self.sampling is not None and name in self.model_fields_set and getattr(self, name):
                yield _no_effect((name,), "samples that `mbr` ranks", "remove `mbr`")

    def _of_lengths(self) -> Iterator[Finding]:
        for name in ("factor", "extra"):
            least, most = getattr(self, f"min_length_{name}"), getattr(self, f"max_length_{name}")
            if least > most:
                yield Finding(
                    (f"min_length_{name}",),
                    f"translations of at least {least:g} and at most {most:g}",
                    f"at most `max_length_{name}`",
                    f"Lower `min_length_{name}` or raise `max_length_{name}`.",
                )
        if "" in self.suppress:
            yield Finding(
                ("suppress",), "an empty text, which is in every translation", "texts", "Remove it."
            )

    def _of_ranking(self) -> Iterator[Finding]:
        given = self.model_fields_set
        if self.sampling is not None and self.mbr is not None:
            return  # told of the candidates
        if self.sampling is not None and self.n_best == 1:
            why, remedy = "one sample (`n_best: 1`)", "set an `n_best` above 1"
        elif self.sampling is None and self.beam_size == 1:
            why, remedy = "greedy search (`beam_size: 1`)", "set a `beam_size` above 1"
        else:
            why, remedy = "", ""
        of_beams = ("patience",) if self.sampling is None else ()  # which samples are told of below
        for name in ("length_penalty", "coverage_penalty", *of_beams):
            if why and name in given and getattr(self, name):
                yield _no_effect((name,), why, remedy)
        if "length_penalty_form" in given and (why or not self.length_penalty):
            why, remedy = why or "`length_penalty: 0`", remedy or "set a `length_penalty` above 0"
            yield _no_effect(("length_penalty_form",), why, remedy)

    def _of_sampling(self) -> Iterator[Finding]:
        if self.sampling is None:
            return
        for name in ("beam_size", "diversity", "patience"):
            if name in self.model_fields_set and getattr(self, name) is not None:
                yield _no_effect((name,), "sampling", "remove `sampling`")

    def beyond_beam(self) -> tuple[str, ...]:
        """The settings that ask for more than a plain beam, which not every engine can do."""
        plain = SearchSettings()
        names = [name for name in SearchSettings.model_fields if name not in _OF_A_BEAM]
        return tuple(name for name in names if getattr(self, name) != getattr(plain, name))

    def written(self) -> dict[str, Any]:
        """For a file; what goes beyond a plain beam only where asked, so that older versions read it."""
        kept = {*_OF_A_BEAM, *self.beyond_beam()}
        return {name: value for name, value in self.model_dump(mode="json").items() if name in kept}


def _no_effect(path: tuple[str, ...], why: str, remedy: str) -> Finding:
    return Finding(
        path,
        f"`{path[-1]}` has no effect on {why}",
        "a setting with an effect",
        f"Remove it, or {remedy}.",
        idle=True,
    )


class TranslateSettings(SearchSettings):
    """Translate: which texts to translate with which search."""

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"batch_tokens"})

    split: str = Field(
        default="test", pattern="^(valid|test)$", description="which split of the corpus: valid or test"
    )
    batch_tokens: int = Field(
        default=2000, ge=1, description="source tokens translated at once; changes speed and memory, not text"
    )

    @property
    def search(self) -> SearchSettings:
        """What search needs of these settings."""
        return SearchSettings(**{name: getattr(self, name) for name in SearchSettings.model_fields})
