"""VBench's dimensions, one file each, blind to how a clip was made.

Each is a frozen dataclass with the networks that it asks, which the caller gives; ``dimension`` says what
they share. Which labels they carry, and what was compared with what, is in docs/evaluation.md.

* ``dimension`` - what a dimension is, and how its clips become a score.
* ``decoded_clip`` - a clip decoded once for all of them, and which frames they sample.
* ``resizing`` - preprocessing, as published.
* ``flow`` - how far the fastest pixels move.
* ``consistency`` - how alike the frames of a clip are.
* ``video_text`` - how well a clip shows its prompt.
* ``detections`` - what a detector or captioner sees.
* ``temporal_flickering``
* ``static_filter`` - which clips temporal_flickering is for.
* ``dynamic_degree``
* ``motion_smoothness``
* ``subject_consistency``
* ``background_consistency``
* ``aesthetic_quality``
* ``imaging_quality``
* ``human_action``
* ``appearance_style``
* ``temporal_style``
* ``overall_consistency``
* ``object_class`` - and the next four: scoring functions for proxies, never under VBench's names.
* ``multiple_objects``
* ``spatial_relationship``
* ``color``
* ``scene``
* ``clipsim`` - not VBench's: CLIPSIM by OpenCLIP ViT-H/14.
* ``world`` - truth, motion and smoothness of clips of the procedural world.
* ``rows`` - every row by its name, and how it is loaded.
* ``published_rows`` - VBench's own rows on its own networks.
* ``proxy_rows`` - the five proxies, on detectors and captioners of transformers.
* ``loaded_row`` - a dimension with its networks.
"""
