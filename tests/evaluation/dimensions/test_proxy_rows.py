"""The proxy rows on tiny networks with random weights: what is found decides, whatever finds it."""

import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.proxy_rows import DenseCaptions, proxy_rows
from rufous.evaluation.dimensions.rows import ROW_NAMES, load_rows
from rufous.perception.detector import Detection
from rufous.world import WorldClips
from tests.perception.tiny_hub_models import write_captioner, write_detector

CPU = torch.device("cpu")
WANTED = {
    "object_class": {"object": "person"},
    "multiple_objects": {"object": "person and tv"},
    "color": {"color": "red"},
    "spatial_relationship": {
        "spatial_relationship": {"object_a": "person", "object_b": "tv", "relationship": "on the left of"}
    },
    "scene": {"scene": {"scene": "beach"}},
}


@pytest.fixture(scope="module")
def loaders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return proxy_rows(str(write_detector(folder / "detector")), str(write_captioner(folder / "captioner")))


@pytest.mark.parametrize("name", list(WANTED))
def test_each_row_measures_a_clip_under_its_own_name(name, loaders):
    row = loaders[f"proxy_{name}"](CPU)
    clip = DecodedClip(
        frames=WorldClips(seed=4)[0].frames, fps=8.0, prompt="a red person", auxiliary={name: WANTED[name]}
    )
    score = row.dimension.measure(clip)
    assert (row.dimension.name, row.dimension.label) == (f"proxy_{name}", "proxy")
    assert row.dimension.needs == name
    assert row.is_large
    assert len(row.identity) >= 64
    assert score.value is None or 0.0 <= score.value <= 1.0


def test_networks_are_shared_between_rows(loaders):
    assert (
        loaders["proxy_object_class"](CPU).dimension.detector
        is loaders["proxy_color"](CPU).dimension.detector.detector
    )


def test_every_detection_is_captioned_from_its_own_pixels():
    frames = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    frames[0, 0, :, 10:] = 255
    left, right = (Detection(name="tv", box=box) for box in ((0.0, 0.0, 10.0, 20.0), (10.0, 0.0, 20.0, 20.0)))
    dense = DenseCaptions(
        detector=lambda frames: [[left, right], []],
        captioner=lambda crops: ["red" if crop[0].min() == 255 else "black" for crop in crops],
    )
    found = dense(frames)
    assert [each.caption for each in found[0]] == ["black", "red"]
    assert found[1] == []


def test_other_loaders_stand_in(loaders):
    loaded = load_rows(["proxy_scene"], CPU, {**loaders})
    assert list(loaded.rows) == ["proxy_scene"]
    assert set(proxy_rows()) <= set(ROW_NAMES)


def test_without_models_the_rows_say_where_to_get_them():
    for load in proxy_rows("nobody/detector", "nobody/captioner").values():
        with pytest.raises(CheckpointError, match="hf download nobody/"):
            load(CPU)
