"""Training: loss, schedule, optimiser, update, loop, checkpoints, averaging, devices.

Knows no search and no scores: whoever calls `train` hands in what translates and scores. Importing this
package loads no torch.
"""
