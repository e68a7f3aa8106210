"""Video files and their captions to training clips.

* ``clip`` - one clip on its way through curation: its place, what was measured, why it was dropped.
* ``media`` - its frames, decoded once for all stages.
* ``stage`` - what a stage of curation is.
* ``stages`` - the stages themselves, each in a file of its name.
* ``scan`` - a folder or list to clips.
* ``known_before`` - what clips bring from there into a run.
* ``presets`` - what to measure and keep, by name, and how that becomes a run's steps.
* ``filters`` - which clips stay, by thresholds, percentiles and names.
* ``engine`` - clips through stages and filters.
* ``chain`` - one clip through its stages, doing only what is not known.
* ``journal`` - what is known, on disk.
* ``run_lock`` - one run at a time on an output.
* ``executor`` - what carries out work on many tasks.
* ``local_executor`` - processes of this machine.
* ``ray_executor`` - actors of a Ray cluster.
* ``manifest`` - clips to and from Parquet, JSON lines and CSV.
* ``clip_shards`` - kept clips as tar files that any trainer reads.
* ``published_csv`` - kept clips in the layouts that published code reads.
* ``curation_report`` - a run as one HTML file.
* ``histogram`` - its plots.
* ``pair_flow`` - optical flow between frames two apart, once for all stages that read it.
* ``camera_fit`` - the motions that most of the picture, and some of the rest, follow.
* ``coding_traces`` - false steps, bands and uneven blocks in calm parts of a picture.
* ``frame_choice`` - which full-size frames a model sees.
* ``best_caption`` - which of a clip's captions stands for it.
* ``published_models`` - networks that score clips, from files that the user has put in place.
* ``answers`` - answers of a model and what they cost, kept in one file.
* ``endpoint`` - a client for OpenAI-compatible endpoints.
* ``caption_check`` - whether a written text will do as a caption, and what it invents.
* ``caption_words`` - the words by which captions are judged.
* ``score_suffix`` - scores in words at the end of a caption, written and read in one place.
* ``aspect`` - sizes of frames by resolution and aspect.
* ``buckets``, ``open_sora_buckets`` - which clips can share a batch; Open-Sora 1.2's own.
* ``bucket_sampler``, ``bucket_batches`` - the order of a bucketed training, and its batches.
* ``curated_clips`` - training clips from a curated manifest.
* ``shards`` - a cache of encoded clips.
* ``list_rows`` - rows of a list of clips: JSON lines, or CSV as published recipes have it.
* ``records`` - lists of captioned clips, as a training reads them.
* ``video_clips`` - training clips by index, drawn from such files at a random stride and start.
"""

from rufous.data.clip import Clip
from rufous.data.curated_clips import CuratedClips, CuratedSampling
from rufous.data.engine import Curated, curate
from rufous.data.filters import Filter, TagFilter
from rufous.data.manifest import read_manifest, write_manifest
from rufous.data.records import ClipRecord, read_clip_list
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips

__all__ = [
    "Clip",
    "ClipRecord",
    "ClipSampling",
    "Curated",
    "CuratedClips",
    "CuratedSampling",
    "Filter",
    "TagFilter",
    "TrainingClip",
    "VideoClips",
    "curate",
    "read_clip_list",
    "read_manifest",
    "write_manifest",
]
