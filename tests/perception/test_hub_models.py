"""Models of transformers that are missing, of another kind or incomplete are refused."""

import pytest
from safetensors.torch import load_file, save_file

from rufous.core.errors import CheckpointError
from rufous.perception.captioner import load_captioner
from rufous.perception.detector import load_detector
from rufous.perception.hub_models import WEIGHTS
from tests.perception.tiny_hub_models import write_captioner, write_detector


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def captioner_folder(tmp_path_factory):
    return write_captioner(tmp_path_factory.mktemp("captioner"))


def test_what_is_missing_says_where_to_get_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"looked for a folder and .* \(hf download nobody/nothing\)"):
        load_detector("nobody/nothing")
    with pytest.raises(CheckpointError, match="no folder, and no repository's name"):
        load_detector("no/such/thing")
    with pytest.raises(CheckpointError, match=f"has no {WEIGHTS}"):
        load_captioner(str(tmp_path))


def test_a_model_of_another_kind_and_lost_tensors_are_refused(detector_folder, captioner_folder, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be loaded as AutoModelForImageTextToText"):
        load_captioner(str(detector_folder))
    for file in captioner_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / WEIGHTS)
    lost = next(name for name in tensors if "encoder.layers.0" in name)
    save_file(
        {name: value for name, value in tensors.items() if name != lost}, tmp_path / WEIGHTS, {"format": "pt"}
    )
    with pytest.raises(CheckpointError, match="lacks 1 tensors"):
        load_captioner(str(tmp_path))
