"""Pipelines: a release folder becomes clips.

* ``text_to_video`` - prompts in, clips out.
* ``request`` - what is asked for, with the model's defaults filled in and everything checked.
* ``motion_guidance`` - T2V-Turbo-v2's motion weight, told to the network at each step.
* ``prompts`` - texts to embeddings, and which texts a model can read.
* ``loading`` - a pipeline by name, folder or hub id.
* ``random_weights`` - a pipeline of any architecture without its weights, for measuring it.
* ``estimate`` - memory and time of a generation, predicted before it starts.
"""

from rufous.pipelines.loading import load
from rufous.pipelines.text_to_video import TextToVideoOutput, TextToVideoPipeline

__all__ = ["TextToVideoOutput", "TextToVideoPipeline", "load"]
