"""torch's optimisers without torch's compiler, which takes as long to load as all of the rest of torch.

`torch.optim` loads the compiler when certain methods are first called, only to tell it to leave them alone.
Nobody compiles them here, so they are taken as they are underneath.
"""

import inspect

import torch


class Uncompiled(torch.optim.Optimizer):
    """An optimiser whose making and clearing load no compiler; to be named first among the bases."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class AdamW(Uncompiled, torch.optim.AdamW):
    """torch's own AdamW."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
