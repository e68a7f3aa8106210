"""The procedural world: captioned clips with computable truth, in two levels, without a download.

* ``scene`` - what a clip shows (things, background, camera), how scenes are drawn, which are held out.
* ``motion`` - where a thing is, how large and how turned, at each moment.
* ``shapes`` - outlines of the shapes and their distance fields.
* ``render`` - pixels of a scene at any size, length and fps.
* ``captions`` - the grammar: phrasings of a scene, and reading a caption back.
* ``dataset`` - captioned clips by index.
* ``pixels`` - arithmetic on the pixels of whole clips: distances, blurs, blobs, medians.
* ``background`` - the background of a clip from its pixels, and how the camera moves it.
* ``segmentation`` - the things of a clip as soft masks, their colours, and what spoils them.
* ``silhouettes`` - shape, place, radius and angle of a mask in each frame.
* ``trajectory`` - the motion that a track of poses shows, its magnitude and roughness.
* ``smoothness`` - how free of jumps and flicker a clip is.
* ``truth`` - what a clip shows, measured from its pixels alone, and whether its caption says so.
* ``spoiling`` - clips spoilt on purpose, which the yardstick must refuse.
* ``damage`` - clips damaged as raw footage is.
* ``accuracy`` - the command that tells how often the yardstick is right.
"""

from rufous.world.captions import caption_of, parse_caption, vocabulary
from rufous.world.dataset import WorldClip, WorldClips
from rufous.world.render import render
from rufous.world.scene import Background, Scene, Thing, is_held_out, sample_scene
from rufous.world.truth import Measurement, Verdict, judge, measure, score, truth_of

__all__ = [
    "Background",
    "Measurement",
    "Scene",
    "Thing",
    "Verdict",
    "WorldClip",
    "WorldClips",
    "caption_of",
    "is_held_out",
    "judge",
    "measure",
    "parse_caption",
    "render",
    "sample_scene",
    "score",
    "truth_of",
    "vocabulary",
]
