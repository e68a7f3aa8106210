"""Evaluation: models and clips measured; how the clips were made is the caller's business.

* ``judging`` - truth and motion of a clip, and means over many with their intervals.
* ``side_by_side`` - models on the same prompts and seeds, and what can be told about every clip.
* ``comparison_page`` - a comparison as one HTML file with the clips in it.
* ``contact_sheet`` - a comparison as one picture.
* ``frame_change`` - how much the pixels change from frame to frame.
* ``benchmark`` - time, memory and operations of models on one machine.
* ``vbench`` - VBench's protocol: prompts, file names, result files, score tables.
* ``dimensions`` - what is measured of a clip, one file each.
* ``measuring`` - rows over the clips of a folder, resumed and on several processes.
* ``static_clips`` - which clips temporal_flickering counts.
* ``results_file`` - what was found, as JSON.
* ``bootstrap`` - intervals by resampling prompts.
* ``paired`` - two results compared clip by clip.
* ``world_distance`` - how far a set of clips is from the world's own.
* ``charts`` - radar and bar plots as SVG.
* ``report_page`` - an evaluation as one HTML file.
* ``backbones`` - the networks that VBench measures with, from published files.
* ``frechet`` - the Frechet distance between two sets of features, and their streamed moments.
* ``mmd`` - the maximum mean discrepancy of two sets of features, and JEDi.
* ``set_features`` - the networks that sets of clips are compared by.
* ``feature_cache`` - features that were computed before, in a file.
* ``sets`` - two folders of clips compared as sets: FVD and its kin.
* ``ucf101`` - AnimateLCM's protocol on UCF-101.
"""

from rufous.evaluation.comparison_page import write_page
from rufous.evaluation.contact_sheet import write_contact_sheet
from rufous.evaluation.frame_change import mean_frame_change
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.mmd import polynomial_mmd
from rufous.evaluation.sets import SetComparison, SetSampling, compare_sets
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
    "SetComparison",
    "SetSampling",
    "compare_models",
    "compare_sets",
    "frechet_distance",
    "mean_frame_change",
    "polynomial_mmd",
    "write_contact_sheet",
    "write_page",
]
