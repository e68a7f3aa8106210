"""Frozen models that look at pixels and read text; rewards and measurements share them.

* ``preprocessing`` - frames in [-1, 1] to what an image model reads, differentiable.
* ``clip`` - CLIP's two towers, for weights of transformers and of open_clip.
* ``viclip`` - ViCLIP: clips of 8 frames and text.
* ``correlation`` - all-pairs correlation and padding, for the networks of flow.
* ``raft`` - optical flow between two frames.
* ``amt`` - the frame between two others.
* ``musiq`` - quality of single frames.
* ``vit_block`` - the block that ``umt`` and ``dino`` are built of.
* ``umt`` - which action a clip shows.
* ``dino`` - features that tell subjects apart.
* ``aesthetic`` - LAION's heads over CLIP embeddings.
* ``gated_swin`` - Swin-3D that knows the fragments of its mosaics: DOVER's technical branch.
* ``convnext3d`` - ConvNeXt over time: DOVER's aesthetic branch.
* ``dover`` - DOVER: what it samples, its heads, and one quality out of two.
* ``i3d`` - I3D's logits, for the Frechet video distance.
* ``video_transformers`` - VideoMAE v2 and V-JEPA 2: features of clips.
* ``video_text`` - embeddings of clips by the world's own model.
* ``hub_models`` - whole models of transformers, from folders on this machine.
* ``detector`` - things in frames and where they are.
* ``captioner`` - sentences about frames.
* ``chat_model`` - answers of instructed models, with or without frames.
* ``prompts`` - prompts to embeddings, and whether a tokenizer fits a text tower.
"""

from rufous.perception.clip import CLIP, CLIPConfig
from rufous.perception.preprocessing import Preprocessing, preprocess
from rufous.perception.viclip import ViCLIP, ViCLIPConfig

__all__ = ["CLIP", "CLIPConfig", "Preprocessing", "ViCLIP", "ViCLIPConfig", "preprocess"]
