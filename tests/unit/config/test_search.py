from mtkit.config.search import SearchSettings, TranslateSettings


def test_search_gets_the_stages_settings() -> None:
    settings = TranslateSettings(beam_size=3, length_penalty=1.0, batch_tokens=7).search
    assert settings == SearchSettings(beam_size=3, length_penalty=1.0)
    assert "batch_tokens" not in settings.model_dump()
