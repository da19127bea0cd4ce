"""Text in → text out, over an engine that is opened lazily. No torch here but in `torch_engine.py`."""
