"""Two clips with each other's captions score lower, on every row that looks at what the suite or prompt says.

Stand-ins for the networks tell a red clip from a blue one, so this proves that each row compares the clip
with its own caption, and nothing of the published networks.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rufous.evaluation.dimensions.appearance_style import AppearanceStyle
from rufous.evaluation.dimensions.clipsim import Clipsim
from rufous.evaluation.dimensions.color import Color
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import Dimension
from rufous.evaluation.dimensions.human_action import HumanAction
from rufous.evaluation.dimensions.multiple_objects import MultipleObjects
from rufous.evaluation.dimensions.object_class import ObjectClass
from rufous.evaluation.dimensions.overall_consistency import OverallConsistency
from rufous.evaluation.dimensions.scene import Scene
from rufous.evaluation.dimensions.spatial_relationship import SpatialRelationship
from rufous.evaluation.dimensions.temporal_style import TemporalStyle
from rufous.evaluation.dimensions.world import WorldTruth
from rufous.perception.detector import Detection
from rufous.world import WorldClips
from tests.evaluation.dimensions.seen import LEFT, thing

BESIDE, BELOW = (20.0, 0.0, 30.0, 10.0), (0.0, 20.0, 10.0, 30.0)
ACTIONS = ("surfing water", "riding a bike", *(f"action {number}" for number in range(398)))
WORLD = [WorldClips(seed=3, complete_captions=True)[index] for index in (0, 1)]
Told = dict[str, Any]


def redness(pixels: Tensor) -> Tensor:
    """How red and how blue frames or clips are, as unit vectors."""
    red_and_blue = torch.relu(pixels.flatten(2).mean(dim=-1)[:, [0, 2]]) + 1e-3
    return torch.nn.functional.normalize(red_and_blue, dim=-1)


def text_of(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[1.0, 0.0] if "red" in text else [0.0, 1.0] for text in texts])


def classify(pixels: Tensor) -> Tensor:
    """Surely riding a bike where it is red, surely surfing where it is blue."""
    logits = torch.full((1, len(ACTIONS)), -9.0)
    logits[0, int(redness(pixels)[0, 0] > 0.5)] = 9.0
    return logits


def detect(frames: Tensor) -> list[list[Detection]]:
    """In red frames a person beside a red car, in blue ones a dog below a blue car."""
    red = [thing("person", LEFT), thing("car", BESIDE, "a red car")]
    blue = [thing("dog", LEFT), thing("car", BELOW, "a blue car")]
    return [red if is_red else blue for is_red in frames[:, 0, 0, 0] > 0]


def describe(frames: Tensor) -> list[str]:
    return ["sand on a beach" if is_red else "a quiet harbor" for is_red in frames[:, 0, 0, 0] > 0]


def placed(relation: str) -> Told:
    told = {"object_a": "car", "object_b": "person" if "left" in relation else "dog"}
    return {"spatial_relationship": {"spatial_relationship": {**told, "relationship": relation}}}


PROMPTS = ({"prompt": "a red thing"}, {"prompt": "a blue thing"})
CASES: list[tuple[Dimension, Told, Told]] = [
    (TemporalStyle(embed_video=redness, embed_text=text_of), *PROMPTS),
    (OverallConsistency(embed_video=redness, embed_text=text_of), *PROMPTS),
    (Clipsim(embed=redness, embed_text=text_of, side=8), *PROMPTS),
    (
        AppearanceStyle(embed=redness, embed_text=text_of),
        *(
            {"auxiliary": {"appearance_style": {"appearance_style": f"a {color} style"}}}
            for color in ("red", "blue")
        ),
    ),
    (
        HumanAction(classifier=classify, labels=ACTIONS),
        {"name": "A person is riding a bike-0.mp4"},
        {"name": "A person is surfing water-0.mp4"},
    ),
    (
        ObjectClass(detector=detect),
        *({"auxiliary": {"object_class": {"object": name}}} for name in ("person", "dog")),
    ),
    (
        MultipleObjects(detector=detect),
        *({"auxiliary": {"multiple_objects": {"object": f"car and {name}"}}} for name in ("person", "dog")),
    ),
    (
        Color(detector=detect),
        *({"prompt": f"a {c} car", "auxiliary": {"color": {"color": c}}} for c in ("red", "blue")),
    ),
    (
        SpatialRelationship(detector=detect),
        *({"auxiliary": placed(relation)} for relation in ("on the left of", "on the top of")),
    ),
    (
        Scene(captioner=describe),
        *({"auxiliary": {"scene": {"scene": {"scene": scene}}}} for scene in ("beach", "harbor")),
    ),
    (WorldTruth(), *({"prompt": clip.caption} for clip in WORLD)),
]


def frames_of(row: Dimension) -> tuple[Tensor, Tensor]:
    """What is red and what is blue; for the world's own row two of its clips."""
    if isinstance(row, WorldTruth):
        return WORLD[0].frames, WORLD[1].frames
    red, blue = (torch.zeros(16, 3, 32, 32, dtype=torch.uint8) for _ in range(2))
    red[:, 0], blue[:, 2] = 255, 255
    return red, blue


@pytest.mark.parametrize(("row", "first", "second"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_swapped_captions_lower_a_row(row, first, second):
    def score(frames: Tensor, told: Told) -> float:
        return row.measure(DecodedClip(frames=frames, fps=8.0, **told)).value

    red, blue = frames_of(row)
    right, swapped = (score(red, first), score(blue, second)), (score(red, second), score(blue, first))
    assert min(right) > 0.99
    assert max(swapped) < 0.1
