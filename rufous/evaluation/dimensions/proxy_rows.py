"""Rows that VBench measures with GRiT and Tag2Text, on other models: comparable among themselves alone."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rufous.evaluation.dimensions.color import Color
from rufous.evaluation.dimensions.detections import Captioner, Detection, Detector
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.multiple_objects import MultipleObjects
from rufous.evaluation.dimensions.object_class import ObjectClass
from rufous.evaluation.dimensions.scene import Scene
from rufous.evaluation.dimensions.spatial_relationship import SpatialRelationship
from rufous.perception.captioner import BLIP, load_captioner
from rufous.perception.detector import RT_DETR, crops, load_detector

Device = torch.device
Loader = Callable[[Device], LoadedRow]


@dataclass(frozen=True, eq=False)
class DenseCaptions:
    """A detector whose every detection is captioned from its own pixels."""

    detector: Detector
    captioner: Captioner

    def __call__(self, frames: Tensor) -> Sequence[Sequence[Detection]]:
        """What is in each frame, surest first, with a caption each."""
        captioned: list[list[Detection]] = []
        for frame, found in zip(frames, self.detector(frames), strict=True):
            captions = self.captioner(crops(frame, found)) if found else ()
            captioned.append(
                [replace(each, caption=text) for each, text in zip(found, captions, strict=True)]
            )
        return captioned


def proxy_rows(detector: str = RT_DETR, captioner: str = BLIP) -> dict[str, Loader]:
    """Loaders of the five rows.

    Args:
        detector: Repository on the hub or folder of a detector that transformers loads.
        captioner: The same of an image captioner.

    The loaders raise ``CheckpointError`` where a model is missing.
    """

    detector_on = functools.cache(lambda device: load_detector(detector, device=device))
    captioner_on = functools.cache(lambda device: load_captioner(captioner, device=device))

    def detecting(row: type[ObjectClass] | type[MultipleObjects] | type[SpatialRelationship]) -> Loader:
        def load(device: Device) -> LoadedRow:
            found = detector_on(device)
            return LoadedRow(row(detector=found), identity=found.source.identity, is_large=True)

        return load

    def color(device: Device) -> LoadedRow:
        found, told = detector_on(device), captioner_on(device)
        identity = f"{found.source.identity} {told.source.identity}"
        return LoadedRow(Color(detector=DenseCaptions(found, told)), identity=identity, is_large=True)

    def scene(device: Device) -> LoadedRow:
        told = captioner_on(device)
        return LoadedRow(Scene(captioner=told), identity=told.source.identity, is_large=True)

    return {
        "proxy_object_class": detecting(ObjectClass),
        "proxy_multiple_objects": detecting(MultipleObjects),
        "proxy_color": color,
        "proxy_spatial_relationship": detecting(SpatialRelationship),
        "proxy_scene": scene,
    }
