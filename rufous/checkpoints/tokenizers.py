"""CLIP's tokenizer from files that the user has put in place."""

from pathlib import Path

from rufous.checkpoints.convert import TOKENIZER_HUB_ID
from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.weights import find_weights
from rufous.networks.text_encoders import CLIPTokenizer


def clip_tokenizer(folder: Path | str | None = None) -> CLIPTokenizer:
    """CLIP's tokenizer, from a folder or from where weights are kept.

    Raises:
        CheckpointError: A file is missing.
    """
    files = [
        find_weights(
            PublishedFile(hub_id=TOKENIZER_HUB_ID, file=name), None if folder is None else Path(folder) / name
        )
        for name in ("vocab.json", "merges.txt")
    ]
    return CLIPTokenizer(files[0].parent)
