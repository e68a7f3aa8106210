"""Which of a clip's captions stands for it."""

from typing import Literal, TypeAlias

from rufous.data.clip import Clip

CaptionChoice: TypeAlias = Literal["best", "original", "described", "rewritten"]
"""``best``: the first there is of rewritten, described and original."""

_BEST_FIRST = ("rewritten", "described", "original")


def caption_of(clip: Clip, choice: CaptionChoice = "best") -> str:
    """The caption of a kind.

    Raises:
        ValueError: The clip has none.
    """
    kinds = _BEST_FIRST if choice == "best" else (choice,)
    for kind in kinds:
        if clip.captions.get(kind, "").strip():
            return clip.captions[kind]
    raise ValueError(f"{clip.source} has no caption of the kind {' or '.join(kinds)}")
