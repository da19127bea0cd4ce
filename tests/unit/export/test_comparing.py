"""What a certificate compares."""

from mtkit.config.search import Sampling, SearchSettings
from mtkit.export.comparing import plain_beam
from mtkit.translation.ctranslate2_loading import unsupported


def test_the_certificate_is_about_a_plain_beam_whatever_else_a_recipe_decodes_by() -> None:
    drawn = SearchSettings(beam_size=4, n_best=3, length_penalty=0.9, sampling=Sampling(), min_length_extra=2)
    assert plain_beam(drawn) == SearchSettings(beam_size=4, length_penalty=0.9)
    assert unsupported(plain_beam(drawn)) is None
    blocking = SearchSettings(no_repeat_ngram=3, length_penalty_form="average", max_length_extra=7)
    assert plain_beam(blocking) == blocking
