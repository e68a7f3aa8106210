"""The grammar of the world: several phrasings of each scene, and reading a caption back.

Every caption that ``caption_of`` writes is read back by ``parse_caption``; what a caption leaves out is None.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from rufous.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    RELATIONS,
    SIZES,
    Background,
    Scene,
    Thing,
    is_observable,
    pick,
)
from rufous.world.shapes import SHAPES

SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big"),
}
MOTION_PHRASES: dict[str, tuple[str, ...]] = {
    "moving left": ("moving left", "moving to the left", "sliding left", "drifting to the left"),
    "moving right": ("moving right", "moving to the right", "sliding right", "drifting to the right"),
    "moving up": ("moving up", "rising", "sliding up", "drifting upwards"),
    "moving down": ("moving down", "falling", "sliding down", "drifting downwards"),
    "growing": ("growing", "getting bigger", "becoming larger"),
    "shrinking": ("shrinking", "getting smaller", "becoming smaller"),
    "rotating": ("rotating", "spinning", "turning around"),
    "bouncing": ("bouncing", "bouncing up and down", "hopping"),
    "orbiting": ("orbiting", "moving in a circle", "circling around"),
    "still": ("staying still", "standing still", "not moving"),
}
PLAIN_PHRASES = (
    "on a {0} background",
    "on a plain {0} background",
    "against a {0} background",
    "in front of a {0} wall",
)
GRADIENT_PHRASES = (
    "on a {0} to {1} gradient background",
    "on a background fading from {0} to {1}",
    "on a gradient from {0} to {1}",
)
CHECKER_PHRASES = ("on a {0} and {1} checkered background", "on a checkerboard of {0} and {1}")
STRIPES_PHRASES = ("on a {0} and {1} striped background", "on a background with {0} and {1} stripes")
BACKGROUND_PHRASES = {
    "plain": PLAIN_PHRASES,
    "gradient": GRADIENT_PHRASES,
    "checker": CHECKER_PHRASES,
    "stripes": STRIPES_PHRASES,
}
CAMERA_PHRASES: dict[str, tuple[str, ...]] = {
    "static": (),
    "pan left": ("camera panning left", "the camera pans to the left"),
    "pan right": ("camera panning right", "the camera pans to the right"),
    "zoom in": ("camera zooming in", "the camera zooms in"),
    "zoom out": ("camera zooming out", "the camera zooms out"),
}
RELATION_PHRASES = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}


_NAMES: dict[str, tuple[str, ...]] = {
    "shape": tuple(SHAPES),
    "color": tuple(COLORS),
    "size": tuple(SIZES),
    "motion": tuple(MOTION_PHRASES),
}
_CHANGED = ("shape", "shape", "shape", "motion", "motion", "motion", "color", "size", "background")
"""What a distracting caption changes, the hardest most often."""


@dataclass(frozen=True, kw_only=True)
class ThingDescription:
    """What a caption says of one thing; None where it says nothing."""

    shape: str
    color: str | None = None
    size: str | None = None
    motion: str | None = None


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a caption says of a clip; None where it says nothing."""

    things: tuple[ThingDescription, ...]
    background_kind: str | None = None
    background_colors: tuple[str, ...] | None = None
    """As in ``Background.colors``; the order counts for a gradient only."""
    camera: str | None = None
    relation: str | None = None


def caption_of(scene: Scene, rng: np.random.Generator, *, complete: bool = False) -> str:
    """One phrasing of a scene.

    Args:
        scene: What the clip shows.
        rng: Chooses among phrasings, and whether size and background are mentioned at all.
        complete: Mention every attribute.
    """
    things = [_thing_phrase(thing, rng, complete=complete) for thing in scene.things]
    if scene.relation is None:
        text = things[0]
    else:
        text = f"{things[0]} {pick(rng, RELATION_PHRASES[scene.relation])} {things[1]}"
    if complete or rng.uniform() > 0.1:
        where = _background_phrase(scene.background, rng)
        text = f"{where}, {text}" if rng.uniform() < 0.15 else f"{text} {where}"
    if scene.camera != "static":
        text = f"{text}, {pick(rng, CAMERA_PHRASES[scene.camera])}"
    return text


def distracting_captions(scene: Scene, caption: str, rng: np.random.Generator, count: int) -> list[str]:
    """Captions that differ from a true one in one thing it says, and are wrong for the scene.

    Contrastive training and tests of what a model can tell apart want such hard negatives: the captions of
    other scenes mostly differ in a colour, so nothing else would have to be learnt (arXiv:2210.01936).

    Args:
        scene: A scene with one thing.
        caption: What is said of it; what it leaves out is not changed.
        rng: Chooses what to change, to what, and the phrasing.
        count: How many.

    Raises:
        ValueError: ``caption`` is outside the grammar, or the scene has several things.
    """
    said = parse_caption(caption)
    if said is None or len(scene.things) != 1:
        raise ValueError(
            f"{caption!r} with {len(scene.things)} things: use a caption of a scene with one thing"
        )
    made: list[str] = []
    while len(made) < count:
        thing, background = scene.things[0], scene.background
        attribute = pick(rng, _CHANGED)
        if attribute == "background":
            background = _other_background(background, rng)
        else:
            others = [name for name in _NAMES[attribute] if name != getattr(thing, attribute)]
            thing = replace(thing, **{attribute: pick(rng, others)})
        if not is_observable(thing.shape, thing.motion):
            continue
        other = caption_of(replace(scene, things=(thing,), background=background), rng)
        found = parse_caption(other)
        if found is not None and contradicts(said, found):
            made.append(other)
    return made


def contradicts(first: Description, second: Description) -> bool:
    """Whether two descriptions of one thing both say something of the same attribute, and not the same."""
    pairs = [(getattr(first.things[0], name), getattr(second.things[0], name)) for name in _NAMES]
    pairs += [(first.background_kind, second.background_kind)]
    pairs += [(first.background_colors, second.background_colors)]
    return any(a is not None and b is not None and a != b for a, b in pairs)


def describe(scene: Scene) -> Description:
    """The complete description of a scene."""
    return Description(
        things=tuple(
            ThingDescription(shape=t.shape, color=t.color, size=t.size, motion=t.motion) for t in scene.things
        ),
        background_kind=scene.background.kind,
        background_colors=scene.background.colors,
        camera=scene.camera,
        relation=scene.relation,
    )


def parse_caption(text: str) -> Description | None:
    """What a caption of the world says, or None if it is outside the grammar."""
    rest = " ".join(text.lower().replace(".", " ").split())
    camera, rest = _cut(rest, {k: v for k, v in CAMERA_PHRASES.items() if v}, r"(?:, )?{0}$")
    kind, colors, rest = _cut_background(rest)
    rest = rest.strip(" ,")
    for relation in RELATIONS:
        for phrase in RELATION_PHRASES[relation]:
            first, found, second = rest.partition(f" {phrase} ")
            parts = (_parse_thing(first), _parse_thing(second)) if found else ()
            if found and all(parts):
                things = tuple(part for part in parts if part is not None)
                return _description(things, kind, colors, camera, relation)
    thing = _parse_thing(rest)
    return None if thing is None else _description((thing,), kind, colors, camera, None)


def vocabulary() -> list[str]:
    """Every word that a caption can hold, sorted."""
    texts = [*SHAPES, *COLORS, *BACKGROUND_COLORS, "a", "an"]
    tables = (SIZE_WORDS, MOTION_PHRASES, BACKGROUND_PHRASES, CAMERA_PHRASES, RELATION_PHRASES)
    texts += [phrase for table in tables for phrases in table.values() for phrase in phrases]
    return sorted({word for text in texts for word in re.findall(r"[a-z]+(?:-[a-z]+)*", text)})


def _description(
    things: tuple[ThingDescription, ...],
    kind: str | None,
    colors: tuple[str, ...] | None,
    camera: str | None,
    relation: str | None,
) -> Description:
    return Description(
        things=things, background_kind=kind, background_colors=colors, camera=camera, relation=relation
    )


def _other_background(background: Background, rng: np.random.Generator) -> Background:
    """The same kind with one colour changed, or with the two swapped."""
    colors = list(background.colors)
    if len(colors) == 2 and rng.uniform() < 0.5:
        return replace(background, colors=(colors[1], colors[0]))
    others = [name for name in BACKGROUND_COLORS if name not in colors]
    colors[int(rng.integers(len(colors)))] = pick(rng, others)
    return replace(background, colors=tuple(colors))


def _thing_phrase(thing: Thing, rng: np.random.Generator, *, complete: bool) -> str:
    words = [thing.color, thing.shape, pick(rng, MOTION_PHRASES[thing.motion])]
    if complete or rng.uniform() > 0.25:
        words.insert(0, pick(rng, SIZE_WORDS[thing.size]))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _background_phrase(background: Background, rng: np.random.Generator) -> str:
    return pick(rng, BACKGROUND_PHRASES[background.kind]).format(*background.colors)


def _parse_thing(text: str) -> ThingDescription | None:
    sizes = {word: size for size, words in SIZE_WORDS.items() for word in words}
    motions = {phrase: motion for motion, phrases in MOTION_PHRASES.items() for phrase in phrases}
    pattern = (
        rf"(?:an? |the )?(?:({'|'.join(sorted(sizes, key=len, reverse=True))}) )?"
        rf"(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)})"
        rf"(?: ({'|'.join(sorted(motions, key=len, reverse=True))}))?"
    )
    match = re.fullmatch(pattern, text.strip())
    if match is None:
        return None
    size, color, shape, motion = match.groups()
    return ThingDescription(
        shape=shape,
        color=color,
        size=sizes[size] if size else None,
        motion=motions[motion] if motion else None,
    )


def _cut(text: str, phrases: dict[str, tuple[str, ...]], pattern: str) -> tuple[str | None, str]:
    for name, options in phrases.items():
        for phrase in options:
            found = re.search(pattern.format(re.escape(phrase)), text)
            if found:
                return name, (text[: found.start()] + text[found.end() :]).strip()
    return None, text


def _cut_background(text: str) -> tuple[str | None, tuple[str, ...] | None, str]:
    names = "|".join(BACKGROUND_COLORS)
    for kind, phrases in BACKGROUND_PHRASES.items():
        for phrase in phrases:
            pattern = re.escape(phrase).replace(r"\{0\}", f"({names})").replace(r"\{1\}", f"({names})")
            found = re.search(rf"(?:^|\s){pattern}(?=$|[ ,])", text)
            if found:
                return kind, found.groups(), (text[: found.start()] + text[found.end() :]).strip()
    return None, None, text


__all__ = [
    "SIZES",
    "Description",
    "ThingDescription",
    "caption_of",
    "contradicts",
    "describe",
    "distracting_captions",
    "parse_caption",
    "vocabulary",
]
