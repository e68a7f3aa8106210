"""Watch a clip come out of the noise, and stop as soon as the estimate hardly changes any more.

python examples/watch_and_cancel.py
"""

import sys

from torch import Tensor

import rufous
from rufous.diffusion import Cancelled


def main(model: str = "world-teacher", tolerance: float = 0.02) -> None:
    pipe = rufous.load(model)
    seen: list[Tensor] = []

    def watch(step: int, timestep: float, latents: Tensor, pred_x0: Tensor) -> None:
        change = float((pred_x0 - seen[-1]).norm() / pred_x0.norm()) if seen else 1.0
        seen.append(pred_x0)
        print(f"step {step}: timestep {timestep:.0f}, the estimate of the clip moved by {change:.1%}")
        if change < tolerance:
            raise Cancelled

    try:
        pipe("a purple ring orbiting on a white background", callback_on_step_end=watch)
    except Cancelled:
        print(f"stopped after {len(seen)} steps")


if __name__ == "__main__":
    main(*sys.argv[1:])
