"""Things in single frames, found by a detector of transformers.

RT-DETR is the default (Zhao et al. 2023, arXiv:2304.08069); any model that transformers loads for object
detection does. Its pixels go through Pillow, as its published preprocessing says, with or without
torchvision on the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.perception.hub_models import HubModel, load_hub_model

RT_DETR = "PekingU/rtdetr_r50vd"

_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""Names that some releases took from Pascal VOC, by those that COCO has."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One thing in one frame."""

    name: str
    """Its class."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels."""
    caption: str = ""
    """A sentence about it, of dense captioners."""


@dataclass(frozen=True, eq=False)
class HubDetector:
    """A detector; classes have COCO's names."""

    source: HubModel
    threshold: float = 0.5
    """Detections that are less sure are dropped."""
    batch_size: int = 4

    @torch.no_grad()
    def __call__(self, frames: UInt8[Tensor, "n 3 h w"]) -> list[list[Detection]]:
        """What is in each frame, surest first."""
        found: list[list[Detection]] = []
        for part in frames.split(self.batch_size):
            inputs = self.source.inputs(part)
            output = self.source.network(**inputs)
            sizes = [tuple(part.shape[-2:])] * len(part)
            found += [
                self._named(result)
                for result in self.source.processor.post_process_object_detection(
                    output, threshold=self.threshold, target_sizes=sizes
                )
            ]
        return found

    def _named(self, result: dict[str, Tensor]) -> list[Detection]:
        names: dict[int, str] = self.source.network.config.id2label
        detections: list[Detection] = []
        for index in result["scores"].argsort(descending=True, stable=True).tolist():
            name = names[int(result["labels"][index])]
            left, top, right, bottom = result["boxes"][index].tolist()
            detections.append(Detection(name=_COCO_NAMES.get(name, name), box=(left, top, right, bottom)))
        return detections


def load_detector(
    hub_id: str = RT_DETR, *, device: torch.device | str = "cpu", **settings: Any
) -> HubDetector:
    """A detector from a folder or from the hub's cache; nothing is downloaded.

    Args:
        hub_id: Repository on the hub, or a folder in transformers' layout with ``model.safetensors``.
        device: Where the weights go.
        **settings: Fields of ``HubDetector``.

    Raises:
        CheckpointError: It is not there, incomplete, or no detector.
    """
    return HubDetector(load_hub_model(hub_id, "AutoModelForObjectDetection", device=device), **settings)


def crops(frame: UInt8[Tensor, "3 h w"], detections: Sequence[Detection]) -> list[UInt8[Tensor, "3 _ _"]]:
    """The pixels of each box, cut at the frame's border and at least one pixel large."""
    height, width = frame.shape[-2:]
    cut: list[Tensor] = []
    for detection in detections:
        left, top, right, bottom = detection.box
        x = min(max(int(left), 0), width - 1)
        y = min(max(int(top), 0), height - 1)
        cut.append(
            frame[:, y : max(y + 1, min(round(bottom), height)), x : max(x + 1, min(round(right), width))]
        )
    return cut
