"""Checkpoints: release folders, and the way from published files to them; nothing in a file is ever executed.

* ``release`` - release folders: save, load, verify; whole or absent.
* ``manifest`` - what a release says about itself: hashes, parents, licences, figures.
* ``chain`` - a release and all that it was made from, hashed again.
* ``kinds`` - what a release can be made of, and how its network is sampled.
* ``presets`` - sampling settings of the published families.
* ``int8`` - weights stored in 8 bits.
* ``tensor_files`` - safetensors, written tensor by tensor, checked before they are read.
* ``matching`` - strict loading, with the nearest names in the error.
* ``unpickle`` - a pickle machine that can build tensors and containers and nothing else.
* ``torch_files`` - files of ``torch.save``, mapped instead of loaded.
* ``formats`` - any file of weights to plain names and tensors.
* ``from_videocrafter`` - names and configs of VideoCrafter2, T2V-Turbo and Hummingbird checkpoints.
* ``lora`` - T2V-Turbo v1's unnamed LoRA list, merged by module order.
* ``convert`` - published files to a release folder.
* ``published`` - the published releases that are known, and fetching them.
* ``weights`` - files of published weights that the user has put in place.
* ``vbench`` - files of weights where VBench keeps them.
* ``tokenizers`` - CLIP's tokenizer from such files.
* ``video_text`` - the video-text model of a release, and how its training read clips.
* ``hub`` - downloads, with errors that help without a network.
* ``lookup`` - a name, folder or hub id to a release folder; the embedded models.
* ``info`` - what a path holds.
"""

from rufous.checkpoints.chain import ChainLink, verify_chain
from rufous.checkpoints.convert import ConvertConfig, convert
from rufous.checkpoints.info import describe_path
from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import embedded_models, find_release
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.published import PUBLISHED, fetch_published
from rufous.checkpoints.release import (
    component_kinds,
    load_component,
    load_config,
    save_release,
    verify_release,
)

__all__ = [
    "PUBLISHED",
    "ChainLink",
    "ConvertConfig",
    "DiffusionConfig",
    "Manifest",
    "Parent",
    "component_kinds",
    "convert",
    "describe_path",
    "embedded_models",
    "fetch_published",
    "find_release",
    "load_component",
    "load_config",
    "save_release",
    "verify_chain",
    "verify_release",
]
