"""What one rank of the test of several processes does; ``python -m tests.training.sharded_run OUT``.

Started by ``test_parallel.py`` with torchrun's environment variables. ``run`` also trains with one.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from rufous.training import OptimizerConfig, TrainConfig, train
from rufous.training.parallel import process_group, rank, replicate, shard, whole, world_size
from tests.training.conftest import ToyObjective, make_batches, make_network

STEPS, HALF = 20, 10
KINDS = ("adamw", "muon", "towers", "replicated")


class Towers(nn.Module):
    """Is used by its methods, never by ``forward``, and has a bare parameter, as contrastive models do."""

    def __init__(self):
        super().__init__()
        self.left, self.right = make_network(), make_network()
        self.scale = nn.Parameter(torch.tensor([1.5]))

    def encode_left(self, x):
        return self.left(x)

    def encode_right(self, x, left):
        return self.right(x) * left

    def __call__(self, x):
        product = self.encode_right(x, self.encode_left(x))
        return self.scale * product  # read after a method has gathered it


def make_spread(kind, mesh):
    network = Towers() if kind == "towers" else make_network()
    if kind == "replicated":
        if rank():  # whatever another rank starts from, the first one's weights are trained
            torch.nn.utils.vector_to_parameters(torch.ones(10_000), network.parameters())
        replicate(network, mesh)
        return network
    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    methods = ("encode_left", "encode_right") if kind == "towers" else ()
    shard(network, mesh, linear, methods=methods)
    return network


def run(run_dir, num_steps, kind, mesh=None):
    """Train with a global batch of 8; gives all that a test may compare, whole."""
    network = make_spread(kind, mesh)
    objective = ToyObjective(network, noise=0.0)  # ranks draw different noise, one process cannot repeat it
    batches = make_batches(batch_size=8 // world_size(), rank=rank(), world_size=world_size())
    name = "muon" if kind == "muon" else "adamw"
    config = TrainConfig(
        num_steps=num_steps,
        optimizer=OptimizerConfig(name=name, learning_rate=1e-2, warmup_steps=15),
        max_grad_norm=0.1,
        ema_decay=0.9,
        log_every=1,
        save_every=HALF,
        validate_every=5,
        dtype="fp32",
    )

    def validate(step):
        with torch.no_grad():
            return {"mean": network(torch.ones(2, 6)).mean().item()}

    result = train(objective, batches, config, run_dir=run_dir, validate=validate)
    state = {f"weights.{key}": whole(value) for key, value in network.state_dict().items()}
    assert result.ema is not None
    state |= {f"ema.{key}": whole(value) for key, value in result.ema.state_dict()["averages"].items()}
    return state | {"target": whole(objective.target)}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with process_group("cpu") as mesh:
        for kind in KINDS:
            states = {
                "unbroken": run(out / kind / "unbroken", STEPS, kind, mesh),
                "half": run(out / kind / "half", HALF, kind, mesh),
                "grown": run(out / kind / "grown", STEPS, kind, mesh),  # one process began it
            }
            if kind == "adamw":
                run(out / kind / "resumed", HALF, kind, mesh)
                states["resumed"] = run(out / kind / "resumed", STEPS, kind, mesh)
            if rank() == 0:
                for name, state in states.items():
                    whole_state = {key: value.contiguous().clone() for key, value in state.items()}
                    save_file(whole_state, out / f"{kind}-{name}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
