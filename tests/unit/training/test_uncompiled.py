import subprocess
import sys

import pytest
import torch

from mtkit.training.uncompiled import AdamW

PROBE = """
import sys
from mtkit.batches.batch import make_batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import Muon
from mtkit.log import RunContext
from mtkit.model.transformer import Transformer
from mtkit.training.devices import prepared
from mtkit.training.loss import accumulate, gradients
from mtkit.training.optimizer import Optimizer

sizes = {"dim": 8, "ffn_dim": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
with prepared(RunContext(device="cpu")) as device:
    model = Transformer(ModelSettings(**sizes), 9, 9)
    optimizer = Optimizer(model, Muon())
    optimizer.zero_grad()
    _, found = gradients(model, make_batch([[5, 6]], [[7, 8]], [0]), 3, 0.1)
    accumulate(model, found)
    optimizer.step(1.0, 1)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_training_on_a_cpu_loads_no_compiler() -> None:
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torch(decay: float) -> None:
    torch.manual_seed(1)
    ours = torch.nn.Parameter(torch.randn(5, 3))
    theirs = torch.nn.Parameter(ours.detach().clone())
    made = [
        AdamW([ours], lr=0.1, weight_decay=decay),
        torch.optim.AdamW([theirs], lr=0.1, weight_decay=decay),
    ]
    for _ in range(3):
        gradient = torch.randn(5, 3)
        for parameter, optimizer in zip((ours, theirs), made, strict=True):
            optimizer.zero_grad()
            assert parameter.grad is None
            parameter.grad = gradient.clone()
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert ours.requires_grad
