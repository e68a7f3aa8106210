"""The training loop and everything it rests on; it knows objectives, and no method.

* ``objective`` - what a training stage is: a loss with its networks.
* ``loop`` - the only training loop, and its config.
* ``batches`` - where batches come from, with an exact position.
* ``optim`` - AdamW and Muon with parameter groups, learning-rate schedules.
* ``muon`` - the Muon update itself.
* ``ema`` - averaged weights.
* ``gradients`` - their norm, clipping, and the stop at NaN.
* ``resume`` - checkpoints that resume bit for bit.
* ``state_files`` - the states in them, sharded or not.
* ``metrics`` - means, speed, the metrics file and the console line.
* ``tensorboard`` - the same numbers as event files.
* ``stopping`` - signals and the time limit.
* ``parallel`` - torchrun, FSDP2 and the device mesh.
"""

from rufous.training.batches import BatchSource, InterleavedBatches, ShuffledBatches
from rufous.training.ema import EMA
from rufous.training.loop import TrainConfig, TrainResult, train
from rufous.training.objective import Objective
from rufous.training.optim import OptimizerConfig

__all__ = [
    "EMA",
    "BatchSource",
    "InterleavedBatches",
    "Objective",
    "OptimizerConfig",
    "ShuffledBatches",
    "TrainConfig",
    "TrainResult",
    "train",
]
