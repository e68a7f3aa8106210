"""One rank of the sharded test: trains the toy on all ranks, unbroken and resumed, and writes what it got.

Started by ``test_parallel.py`` as ``python sharded_run.py OUT`` with torchrun's environment variables.
"""

import sys
from pathlib import Path

import torch
from conftest import ToyObjective, make_batches, make_network
from safetensors.torch import save_file
from torch import nn

from rufous.training import OptimizerConfig, TrainConfig, train
from rufous.training.parallel import process_group, rank, shard, world_size


def whole(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def run(run_dir, num_steps, name, mesh):
    network = make_network()
    shard(network, mesh, [part for part in network if isinstance(part, nn.Linear)])
    objective = ToyObjective(
        network, noise=0.0
    )  # ranks draw different noise, a single process cannot repeat it
    batches = make_batches(batch_size=8 // world_size(), rank=rank(), world_size=world_size())
    config = TrainConfig(
        num_steps=num_steps,
        optimizer=OptimizerConfig(name=name, learning_rate=1e-2),
        max_grad_norm=0.1,
        ema_decay=0.9,
        log_every=1,
        save_every=2,
        validate_every=2,
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
        for name in ("adamw", "muon"):
            states = {"unbroken": run(out / name / "unbroken", 5, name, mesh)}
            if mesh is not None:
                run(out / name / "resumed", 3, name, mesh)
                states["resumed"] = run(out / name / "resumed", 5, name, mesh)
            if rank() == 0:
                for kind, state in states.items():
                    save_file(
                        {k: v.contiguous() for k, v in state.items()}, out / f"{name}-{kind}.safetensors"
                    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
