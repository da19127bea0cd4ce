"""Search: a model and ids to hypotheses. Ids only: no text, no files. `hypothesis` and `length` are light."""
