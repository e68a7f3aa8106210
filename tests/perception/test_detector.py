"""The detector, on tiny random weights, against the network asked by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from rufous.perception.detector import Detection, crops, load_detector
from rufous.world import WorldClips
from tests.perception.tiny_hub_models import CLASSES, write_detector

FRAMES = WorldClips(seed=4, num_frames=5, height=48, width=80)[0].frames
COCO = {"person": "person", "motorbike": "motorcycle", "tvmonitor": "tv"}


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp("detector"))


def test_detections_are_the_networks_boxes_on_squeezed_frames(detector_folder):
    detector = load_detector(str(detector_folder), threshold=0.0, batch_size=2)
    found = detector(FRAMES)
    assert [len(each) for each in found] == [10] * len(FRAMES)
    picture = Image.fromarray(FRAMES[3].permute(1, 2, 0).numpy()).resize((64, 64), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        output = detector.source.network(pixel_values=pixels)
    best = torch.sigmoid(output.logits[0]).max(dim=-1)
    middle_x, middle_y, width, height = (output.pred_boxes[0, best.values.argmax()]).tolist()
    expected = (middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)
    assert found[3][0].box == pytest.approx(
        [v * s for v, s in zip(expected, (80, 48, 80, 48), strict=True)], abs=0.5
    )
    assert {each.name for frame in found for each in frame} <= set(COCO.values())
    assert found[3][0].name == COCO[CLASSES[int(best.indices[best.values.argmax()])]]


def test_what_is_not_sure_enough_is_dropped(detector_folder):
    assert load_detector(str(detector_folder), threshold=0.99)(FRAMES[:2]) == [[], []]


def test_crops_stay_inside_and_are_never_empty():
    boxes = [
        (10.2, 5.0, 30.0, 20.0),
        (-9.0, -9.0, 0.2, 0.2),
        (79.6, 47.9, 90.0, 60.0),
        (200.0, 0.0, 300.0, 9.0),
    ]
    cut = crops(FRAMES[0], [Detection(name="person", box=box) for box in boxes])
    assert [tuple(each.shape) for each in cut] == [(3, 15, 20), (3, 1, 1), (3, 1, 1), (3, 9, 1)]
    assert torch.equal(cut[0], FRAMES[0, :, 5:20, 10:30])
