"""Loading: folders and names, dtypes, damaged and contradictory releases."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import rufous
from rufous.core.errors import CheckpointError
from rufous.pipelines import load, loading


@pytest.fixture
def copy(tiny_release: Path, tmp_path: Path) -> Path:
    """A release that a test may damage."""
    return Path(shutil.copytree(tiny_release, tmp_path / "copy"))


def test_the_dtype_is_that_of_every_network(tiny_release: Path):
    pipeline = load(tiny_release, device="cpu", dtype="bf16")
    networks = (pipeline.unet, pipeline.autoencoder, pipeline.text_encoder)
    assert {p.dtype for network in networks for p in network.parameters()} == {torch.bfloat16}
    assert pipeline.dtype == torch.bfloat16
    assert pipeline.device == torch.device("cpu")


def test_the_package_offers_load_without_importing_torch_first(tiny_release: Path):
    assert rufous.load(str(tiny_release), device="cpu").manifest.name == "tiny"


def test_bf16_and_fp32_give_nearly_the_same_clip(tiny_release: Path):
    exact, rough = (
        load(tiny_release, device="cpu", dtype=dtype)(
            "a red circle",
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames[0]
        for dtype in ("fp32", "bf16")
    )
    assert ((exact - rough).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device='tpu' is not present"),
        ({"dtype": "int3"}, "dtype='int3' is unknown"),
    ],
)
def test_unknown_device_and_dtype_are_refused(tiny_release: Path, arguments: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        load(tiny_release, **arguments)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(CheckpointError, match=r"world-techer.*videocrafter2"):
        load("world-techer")


def test_weights_that_cannot_fit_are_refused_before_they_are_read(
    tiny_release: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "free_memory_bytes", lambda _: 1000)
    with pytest.raises(ValueError, match="for its weights, but 0 MB are free on cpu"):
        load(tiny_release, device="cpu")


def test_truncated_weights_are_refused(copy: Path):
    weights = copy / "unet" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="unet"):
        load(copy, device="cpu")


def test_a_config_that_contradicts_the_weights_is_refused(copy: Path):
    path = copy / "unet" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "model_channels": 16}))
    with pytest.raises(CheckpointError, match="unet"):
        load(copy, device="cpu")


def test_a_release_without_a_decoder_is_refused(copy: Path):
    index = json.loads((copy / "model_index.json").read_text())
    del index["vae"]
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="0 components of kind autoencoder_kl"):
        load(copy, device="cpu")
