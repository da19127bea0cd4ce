"""The model: tensors to tensors. No text, no loss. `folder` is light: it needs no torch."""
