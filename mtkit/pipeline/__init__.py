"""Kinds, graph, fingerprint, store, runner: the only place the chain is put together."""
