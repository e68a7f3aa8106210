"""Whether a text that a model wrote will do as a caption, and whether it says more than its sources.

Written for English captions. Every rule is a pattern or a list of words, so it can be read and argued with;
what the rules catch and miss on captions with known truth is measured in docs/curation_learned.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rufous.data.answers import Answer
from rufous.data.caption_words import (
    CHATTER,
    COLORS,
    FUNCTION_WORDS,
    LIGHT_WORDS,
    NUMBER_WORDS,
    REFUSALS,
    SAME_WORDS,
    VIEW_WORDS,
)
from rufous.world.captions import Description, ThingDescription, parse_caption

_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d+(?:[.,]\d+)*")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_ENDINGS = ("ing", "ed", "er", "ist", "ly", "y", "e")


@dataclass(frozen=True, kw_only=True)
class CaptionLimits:
    """What a caption must keep to."""

    min_words: int = 4
    max_words: int = 120
    min_kept: float = 0.5
    """Share of the colours, numbers and things of the first source that must still be named."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.max_words:
            raise ValueError(
                f"min_words={self.min_words} and max_words={self.max_words}: use 1 <= min <= max"
            )
        if not 0.0 <= self.min_kept <= 1.0:
            raise ValueError(f"min_kept={self.min_kept} is no share: use a number in [0, 1]")


@dataclass(frozen=True)
class Facts:
    """What a text names, in the form in which texts are compared."""

    things: frozenset[str]
    colors: frozenset[str]
    numbers: frozenset[float]


def problems_of(answer: Answer | str, limits: CaptionLimits) -> list[str]:
    """What is wrong with a text as a caption, whatever it is about; empty if nothing is."""
    text, is_whole = (answer, True) if isinstance(answer, str) else (answer.text, answer.is_whole)
    words = _words(text)
    found = [] if is_whole else ["it was cut off"]
    if not limits.min_words <= len(words) <= limits.max_words:
        found.append(f"it has {len(words)} words, not {limits.min_words} to {limits.max_words}")
    lower = text.strip().lower()
    if any(re.search(pattern, lower) for pattern in REFUSALS):
        found.append("it refuses")
    found += [problem for pattern, problem in CHATTER if re.search(pattern, lower, re.MULTILINE)]
    if lower[:1] and lower[0] in _QUOTES and lower[-1] in _QUOTES:
        found.append("it stands in quotes")
    if words and (language := language_of(text)) != "english":
        found.append(f"it is not English ({language})")
    return found


def language_of(text: str) -> str:
    """The language whose small words the text has most of; ``another script``, or ``unknown`` without any."""
    letters = [each for each in text if each.isalpha()]
    if letters and sum(each.isascii() for each in letters) < 0.9 * len(letters):
        return "another script"
    words = _words(text)
    counts = {name: sum(word in small for word in words) for name, small in FUNCTION_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "unknown"


def drift_of(text: str, sources: Sequence[str], limits: CaptionLimits) -> list[str]:
    """What a text invents or loses: exactly where all are captions of the world, else by words.

    Args:
        text: What was written.
        sources: What it was written from; it may say what any of them says.
        limits: How much of the first source must be left.
    """
    if not sources:
        raise ValueError("sources is empty: drift is from something")
    said, sources_said = parse_caption(text), [parse_caption(source) for source in sources]
    known = [each for each in sources_said if each is not None]
    if said is not None and len(known) == len(sources_said):
        return world_drift(said, known)
    facts = facts_of(text)
    all_facts = [facts_of(source) for source in sources]
    found = list[str]()
    for kind in ("things", "colors", "numbers"):
        of_sources = frozenset[object]().union(*(getattr(each, kind) for each in all_facts))
        # any word of a source counts: what one calls a thing another may use as a verb
        allowed = of_sources | {_stem(word) for source in sources for word in _words(source)}
        if new := sorted(
            f"{each:g}" if kind == "numbers" else each for each in getattr(facts, kind) - allowed
        ):
            found.append(f"it names {kind} of no source: {', '.join(new)}")
    wanted = _united(all_facts[0])
    said_words = {_stem(word) for word in _words(text)} | _united(facts)
    kept = len(wanted & said_words)
    if wanted and kept < limits.min_kept * len(wanted):
        found.append(
            f"of {len(wanted)} facts it keeps {kept}: {', '.join(sorted(wanted - said_words))} are lost"
        )
    return found


def world_drift(said: Description, sources: Sequence[Description]) -> list[str]:
    """Which attributes a caption of the world invents: it says them, and no source says the same."""
    mine = _attributes(said)
    theirs = [_attributes(source) for source in sources]
    wrong = [name for name, value in mine.items() if all(each.get(name) != value for each in theirs)]
    lost = [name for name in theirs[0] if name not in mine]
    return [f"it invents {name}: {mine[name]}" for name in wrong] + [f"it loses {name}" for name in lost]


def facts_of(text: str) -> Facts:
    """Things, colours and numbers that an English text names.

    A thing is every word, by its stem, that is no small word, colour, number, word about pictures as such, or
    form in -ing or -ly: there is no dictionary of nouns here, so verbs and adjectives are among them.
    """
    words = _words(text)
    things = frozenset(_stem(word) for word in words if _is_thing(word))
    colors = frozenset(SAME_WORDS.get(word, word) for word in words if word in COLORS)
    numbers = frozenset(number for word in words if (number := _number(word)) is not None and number != 1)
    return Facts(things=things, colors=colors, numbers=numbers)


def _is_thing(word: str) -> bool:
    if word in FUNCTION_WORDS["english"] or word in LIGHT_WORDS or word in VIEW_WORDS or word in COLORS:
        return False
    return _number(word) is None and not (word.endswith(("ing", "ly")) and len(word) > 5)


def _attributes(said: Description) -> dict[str, object]:
    """Everything that a caption of the world says, by name."""
    told: dict[str, object] = {
        "background": said.background_kind,
        "background colours": _colors_of_background(said),
        "camera": said.camera,
        "relation": said.relation,
        "number of things": len(said.things),
    }
    for number, thing in enumerate(said.things):
        told |= {f"{name} of thing {number + 1}": value for name, value in _of_thing(thing).items()}
    return {name: value for name, value in told.items() if value is not None}


def _colors_of_background(said: Description) -> tuple[str, ...] | None:
    """Its colours; the order counts for a gradient only."""
    if said.background_colors is None or said.background_kind == "gradient":
        return said.background_colors
    return tuple(sorted(said.background_colors))


def _of_thing(thing: ThingDescription) -> dict[str, str | None]:
    return {"shape": thing.shape, "colour": thing.color, "size": thing.size, "motion": thing.motion}


def _united(facts: Facts) -> set[str]:
    return {*facts.things, *facts.colors, *(f"{number:g}" for number in facts.numbers)}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def _number(word: str) -> float | None:
    if word in NUMBER_WORDS:
        return float(NUMBER_WORDS[word])
    return float(word.replace(",", "")) if word[0].isdigit() and word.count(".") < 2 else None


def _stem(word: str) -> str:
    """The word without its endings, so that ``rivers`` and ``river``, ``riders`` and ``riding`` are one."""
    word = word.removesuffix("'s")
    word = SAME_WORDS.get(word, word)
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        word = word[:-1]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
