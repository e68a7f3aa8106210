"""Video files and their captions to training clips.

* ``clip`` - one clip on its way through curation: its place, what was measured, why it was dropped.
* ``media`` - its frames, decoded once for all stages.
* ``stage`` - what a stage of curation is.
* ``stages`` - the stages themselves.
* ``aspect`` - sizes of frames by resolution and aspect.
* ``buckets``, ``open_sora_buckets`` - which clips can share a batch; Open-Sora 1.2's own.
* ``bucket_sampler``, ``bucket_batches`` - the order of a bucketed training, and its batches.
* ``curated_clips`` - training clips from a curated manifest.
* ``shards`` - a cache of encoded clips.
* ``records`` - lists of captioned clips: JSON lines, or CSV as published recipes have it.
* ``video_clips`` - training clips by index, drawn from such files at a random stride and start.
"""

from rufous.data.records import ClipRecord, read_clip_list
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips

__all__ = ["ClipRecord", "ClipSampling", "TrainingClip", "VideoClips", "read_clip_list"]
