"""Makes checkpoints of JoeyNMT prefer any piece to the end; runs in its environment.

endless_joeynmt.py CHECKPOINT…
"""

import sys

import torch

EOS = 3


def main(*checkpoints: str) -> None:
    """Set the row of EOS in the tied embeddings to zero, and so its logit."""
    for checkpoint in checkpoints:
        state = torch.load(checkpoint, weights_only=False)
        for name, weight in state["model_state"].items():
            if name.endswith("lut.weight") or name == "decoder.output_layer.weight":
                weight[EOS] = 0.0
        torch.save(state, checkpoint)


if __name__ == "__main__":
    main(*sys.argv[1:])
