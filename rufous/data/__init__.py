"""Video files and their captions to training clips.

* ``clip`` - one clip on its way through curation: its place, what was measured, why it was dropped.
* ``media`` - its frames, decoded once for all stages.
* ``stage`` - what a stage of curation is.
* ``stages`` - the stages themselves.
* ``frame_choice`` - which full-size frames a model sees.
* ``best_caption`` - which of a clip's captions stands for it.
* ``published_models`` - networks that score clips, from files that the user has put in place.
* ``answers`` - answers of a model and what they cost, kept in one file.
* ``endpoint`` - a client for OpenAI-compatible endpoints.
* ``caption_check`` - whether a written text will do as a caption, and what it invents.
* ``caption_words`` - the words by which captions are judged.
* ``score_suffix`` - scores in words at the end of a caption, written and read in one place.
* ``records`` - lists of captioned clips: JSON lines, or CSV as published recipes have it.
* ``video_clips`` - training clips by index, drawn from such files at a random stride and start.
"""

from rufous.data.records import ClipRecord, read_clip_list
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips

__all__ = ["ClipRecord", "ClipSampling", "TrainingClip", "VideoClips", "read_clip_list"]
