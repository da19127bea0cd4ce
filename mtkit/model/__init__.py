"""The model: tensors to tensors. No text, no loss, no device policy. `folder` is light: it needs no torch."""
