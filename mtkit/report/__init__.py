"""Reads finished runs, writes Markdown; imports neither torch nor the model."""
