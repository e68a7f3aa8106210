"""Reference cases: numbers of the published implementations, at least one test per case of a folder.

A test takes its cases through a fixture named in ``KINDS``; a case that no kind claims is skipped by name.
"""

import fnmatch
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))  # fill.py is no package, whatever pytest's import mode

from fill import input_by_rule, state_dict_by_rule, tensor_by_rule

TOLERANCE = 1e-4  # norm of the difference over norm of the reference, float32

KINDS = {
    "unet_case": "unet_*",
    "lora_case": "lora_t2v_turbo_*",
    "unet_manifest": "manifest_*_unet",
    "autoencoder_case": "vae_ldm_*",
    "text_case": "text_openclip_*",
    "sampling_case": "sampling_t2v_turbo*",
    "raft_case": "raft_*",
    "amt_case": "amt_*",
    "musiq_case": "musiq_*",
    "umt_case": "umt_*",
    "dino_case": "dino_*",
    "viclip_case": "viclip_*",
    "clip_case": "clip_openai_*",
    "dover_case": "dover_*",
    "perception_manifest": "manifest_perception_*",
    "i3d_case": "i3d_*",
    "videomae_case": "videomae_*",
}
"""Name of the fixture that carries the cases of one kind, and the pattern of their names."""


@dataclass(frozen=True)
class Case:
    """One reference case: what ran, and what came out."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def info(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @cached_property
    def stored(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix(".safetensors"))

    def weights(self) -> dict[str, Tensor]:
        weights = state_dict_by_rule(self.info["tensors"], self.info["seed"], self.info["gain"])
        for name in self.info.get("scales", ()):  # running variances, which biases' values would not do for
            weights[name] = 1 + 2 * weights[name]
        return weights

    def inputs(self) -> dict[str, Tensor]:
        return {name: self.input(name, shape) for name, shape in self.info["inputs"].items()}

    def tensor(self, name: str, shape: list[int], *, gain: float) -> Tensor:
        return tensor_by_rule(name, shape, self.info["seed"], gain)

    def input(self, name: str, shape: list[int]) -> Tensor:
        return input_by_rule(name, shape, self.info["seed"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = [name for name in (*KINDS, "unclaimed_case") if name in metafunc.fixturenames]
    if not wanted:
        return
    folder: Path = metafunc.config.getoption("--reference-dir")
    cases = [Case(path) for path in sorted(folder.glob("*.json"))]
    if not cases:
        raise pytest.UsageError(f"--reference-dir {folder} holds no NAME.json")
    for fixture in wanted:
        chosen = [case for case in cases if _kind(case.name) == fixture]
        metafunc.parametrize(fixture, chosen, ids=lambda case: case.name)


def _kind(name: str) -> str:
    claims = (fixture for fixture, pattern in KINDS.items() if fnmatch.fnmatch(name, pattern))
    return next(claims, "unclaimed_case")


@pytest.fixture
def assert_close():
    """Compare with the reference by relative error."""

    def check(ours: Tensor, reference: Tensor) -> None:
        assert ours.shape == reference.shape
        assert ours.dtype == torch.float32
        error = torch.linalg.vector_norm(ours - reference) / torch.linalg.vector_norm(reference)
        print(f"relative error {error:.1e}")  # shown by pytest -rP
        assert error <= TOLERANCE, f"relative error {error:.2e}"

    return check
