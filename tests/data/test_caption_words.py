"""The lists hold what they say, in the form in which texts are looked at."""

import re

from rufous.data.caption_words import (
    CHATTER,
    COLORS,
    FUNCTION_WORDS,
    LIGHT_WORDS,
    NUMBER_WORDS,
    REFUSALS,
    VIEW_WORDS,
)
from rufous.world.scene import BACKGROUND_COLORS
from rufous.world.scene import COLORS as WORLD_COLORS


def test_words_are_small_letters_and_stand_in_one_list():
    lists = [
        FUNCTION_WORDS["english"] | LIGHT_WORDS | VIEW_WORDS,
        COLORS,
        frozenset(NUMBER_WORDS) - {"one", "two"},
    ]
    assert all(word == word.lower() and word.strip() for words in lists for word in words)
    assert not lists[0] & lists[1]
    assert not lists[1] & lists[2]
    assert not lists[0] & lists[2]


def test_every_colour_of_the_world_is_known():
    assert {*WORLD_COLORS, *BACKGROUND_COLORS} <= COLORS


def test_patterns_are_for_small_letters():
    for pattern in [*REFUSALS, *(each for each, _ in CHATTER)]:
        literal = re.sub(r"\\.", "", pattern)
        assert literal == literal.lower()
        re.compile(pattern)
