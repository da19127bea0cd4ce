"""What a certificate compares."""

import pytest

from mtkit.config.export import ExportSettings
from mtkit.config.search import Sampling, SearchSettings
from mtkit.errors import ModelError
from mtkit.export.comparing import against_loss, check_measurable, losses_of, plain_beam
from mtkit.export.probe import ProbeLine
from mtkit.translation.ctranslate2_loading import unsupported


def test_the_certificate_is_about_a_plain_beam_whatever_else_a_recipe_decodes_by() -> None:
    drawn = SearchSettings(beam_size=4, n_best=3, length_penalty=0.9, sampling=Sampling(), min_length_extra=2)
    assert plain_beam(drawn) == SearchSettings(beam_size=4, length_penalty=0.9)
    assert unsupported(plain_beam(drawn)) is None
    blocking = SearchSettings(no_repeat_ngram=3, length_penalty_form="average", max_length_extra=7)
    assert plain_beam(blocking) == blocking


def test_what_costs_as_much_as_it_may_is_kept_and_no_refusal_shows_less_than_is_allowed() -> None:
    scores = {"bleu": {"torch": 30.1234, "converted": 29.6234}, "chrf": {"torch": 41.2, "converted": 40.9}}
    assert losses_of(scores) == {"bleu": 0.5, "chrf": 0.3}  # though 41.2 - 40.9 is a little more
    assert against_loss(losses_of(scores), ExportSettings(quantization="int8")) == ""
    over = against_loss({"bleu": 0.5001, "chrf": 2.0}, ExportSettings(quantization="int8"))
    assert over == "0.5001 bleu lost, 0.5 allowed; 2.00 chrf lost, 0.3 allowed"


def test_blank_references_measure_nothing() -> None:
    blank, given = (ProbeLine("ein Hund", reference, "text") for reference in (" ", "a dog"))
    with pytest.raises(ModelError, match="no text with references to measure what int8 costs"):
        check_measurable(ExportSettings(quantization="int8"), [blank, blank])
    check_measurable(ExportSettings(quantization="int8"), [blank, given])
