"""Ids to tensors: the id store, batches under a token budget, the endless stream. No text, no model."""
