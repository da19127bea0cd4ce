"""Which of torch's two libraries multiplies float32 sooner on this processor, for the sizes of a model.

mtkit goes by who made the processor (`mtkit/model/products.py`); this shows whether that holds here. One
thread, GFLOP/s, the best of several; `x` stands for the sizes in: rows x in x out.

    python benchmarks/products.py
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mtkit.model.cores import cpu_name
from mtkit.model.products import by_onednn, crossed_by_onednn, has_onednn, packed, prefers_onednn

SIZES = (
    *((size, size, size) for size in (1024, 1536)),
    *((512, *sizes) for sizes in ((256, 768), (256, 1024), (1024, 256), (256, 8000))),
    *((64, *sizes) for sizes in ((256, 256), (256, 1024), (256, 8000), (512, 32000))),
    *((5, *sizes) for sizes in ((256, 256), (256, 1024), (256, 8000))),
)
TRIES, SECONDS = 7, 0.05


def main() -> None:
    """Measure and print."""
    if not has_onednn():
        print("this torch has no oneDNN")
        return
    torch.set_num_threads(1)
    print(f"{cpu_name()}; mtkit takes {'oneDNN' if prefers_onednn() else 'MKL'} for float32")
    gradients = "MKL, weight's gradient | oneDNN, weight's gradient"
    print(f"| product | MKL | oneDNN | oneDNN, packed | {gradients} | bfloat16 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for rows, width, out in SIZES:
        operations = 2e-9 * rows * width * out
        cells = [f"{operations / seconds:.0f}" for seconds in _seconds(rows, width, out)]
        print(f"| {rows:,} x {width:,} x {out:,} | {' | '.join(cells)} |")


@torch.inference_mode()
def _seconds(rows: int, width: int, out: int) -> list[float]:
    states, weight, gradient = torch.randn(rows, width), torch.randn(out, width), torch.randn(rows, out)
    laid_out, in_bfloat16 = packed(weight, rows), (states.bfloat16(), weight.bfloat16())
    assert laid_out is not None
    ways: list[Callable[[], Tensor]] = [
        lambda: F.linear(states, weight),
        lambda: by_onednn(states, weight),
        lambda: by_onednn(states, laid_out),
        lambda: gradient.mT @ states,
        lambda: crossed_by_onednn(gradient, states),
        lambda: F.linear(*in_bfloat16),
    ]
    best = [float("inf")] * len(ways)
    for _ in range(TRIES):
        for number, way in enumerate(ways):  # in turn, so that a slow moment meets all of them
            way()
            best[number] = min(best[number], _timed(way))
    return best


def _timed(way: Callable[[], Tensor]) -> float:
    started, times = time.thread_time(), 0
    while (taken := time.thread_time() - started) < SECONDS / TRIES or not times:
        way()
        times += 1
    return taken / times


if __name__ == "__main__":
    main()
