"""Evaluation: models and clips measured; how the clips were made is the caller's business.

* ``judging`` - truth and motion of a clip, and means over many with their intervals.
* ``side_by_side`` - models on the same prompts and seeds, and what can be told about every clip.
* ``comparison_page`` - a comparison as one HTML file with the clips in it.
* ``contact_sheet`` - a comparison as one picture.
* ``frame_change`` - how much the pixels change from frame to frame.
* ``vbench`` - VBench's protocol: prompts, file names, result files, score tables.
* ``dimensions`` - what is measured of a clip, one file each.
* ``measuring`` - rows over the clips of a folder, resumed and on several processes.
* ``results_file`` - what was found, as JSON.
* ``bootstrap`` - intervals by resampling clips.
* ``paired`` - two results compared clip by clip.
* ``world_distance`` - how far a set of clips is from the world's own.
* ``charts`` - radar and bar plots as SVG.
* ``report_page`` - an evaluation as one HTML file.
* ``frechet`` - the distance between two sets of features.
* ``backbones`` - the networks that VBench measures with, from published files.
"""

from rufous.evaluation.comparison_page import write_page
from rufous.evaluation.contact_sheet import write_contact_sheet
from rufous.evaluation.frame_change import mean_frame_change
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.side_by_side import (
    ComparedModel,
    Comparison,
    GeneratedClip,
    SeededPrompt,
    compare_models,
)

__all__ = [
    "ComparedModel",
    "Comparison",
    "GeneratedClip",
    "SeededPrompt",
    "compare_models",
    "frechet_distance",
    "mean_frame_change",
    "write_contact_sheet",
    "write_page",
]
