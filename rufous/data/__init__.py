"""Video files and their captions to training clips.

* ``clip`` - one clip on its way through curation: its place, what was measured, why it was dropped.
* ``media`` - its frames, decoded once for all stages.
* ``stage`` - what a stage of curation is.
* ``pair_flow`` - optical flow between frames two apart, once for all stages that read it.
* ``camera_fit`` - the motions that most of the picture, and some of the rest, follow.
* ``stages`` - the stages themselves.
* ``records`` - lists of captioned clips: JSON lines, or CSV as published recipes have it.
* ``video_clips`` - training clips by index, drawn from such files at a random stride and start.
"""

from rufous.data.records import ClipRecord, read_clip_list
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips

__all__ = ["ClipRecord", "ClipSampling", "TrainingClip", "VideoClips", "read_clip_list"]
