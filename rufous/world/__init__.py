"""The procedural world: captioned clips with computable truth, in two levels, without a download.

* ``scene`` - what a clip shows (things, background, camera), how scenes are drawn, which are held out.
* ``motion`` - where a thing is, how large and how turned, at each moment.
* ``shapes`` - outlines of the shapes and their distance fields.
* ``render`` - pixels of a scene at any size, length and fps.
* ``captions`` - the grammar: phrasings of a scene, and reading a caption back.
* ``dataset`` - captioned clips by index.
* ``truth`` - what a clip shows, measured from its pixels alone.
"""

from rufous.world.captions import caption_of, parse_caption, vocabulary
from rufous.world.dataset import WorldClip, WorldClips
from rufous.world.render import render
from rufous.world.scene import Background, Scene, Thing, is_held_out, sample_scene

__all__ = [
    "Background",
    "Scene",
    "Thing",
    "WorldClip",
    "WorldClips",
    "caption_of",
    "is_held_out",
    "parse_caption",
    "render",
    "sample_scene",
    "vocabulary",
]
