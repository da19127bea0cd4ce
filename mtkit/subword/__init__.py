"""Text ↔ pieces ↔ ids: vocabularies learnt and applied with SentencePiece. No tensors, no files of ids."""
