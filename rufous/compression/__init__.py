"""Compression: a large network to a smaller one with the large one's weights, for a budget or as published.

* ``prune`` - choose blocks for a goal, carry the weights over, report.
* ``release`` - a release to a pruned release.
* ``blocks`` - which blocks of a network can go; the table of networks that name theirs.
* ``sensitivity`` - how much each block matters, measured.
* ``budget`` - what a pruned network may cost, which blocks to give up for it, and the student within it.
* ``carry_over`` - which tensor of the teacher fills which of the student.
* ``footprint`` - parameters, bytes, operations and measured time.
* ``calls`` - what a network is called with: recorded, made from latents, or made up for timing.
* ``report`` - what was done, as numbers, a page and a picture.
"""

from rufous.compression.blocks import block_names
from rufous.compression.calls import ClipSize, NetworkCall, noised_calls, recorded_calls
from rufous.compression.carry_over import CarryOver, carry_over, plan_carry_over
from rufous.compression.prune import PruneConfig, prune
from rufous.compression.release import prune_release
from rufous.compression.report import PruningReport

__all__ = [
    "CarryOver",
    "ClipSize",
    "NetworkCall",
    "PruneConfig",
    "PruningReport",
    "block_names",
    "carry_over",
    "noised_calls",
    "plan_carry_over",
    "prune",
    "prune_release",
    "recorded_calls",
]
