"""What is no caption, and what a caption invents: by words, and exactly on the world."""

import numpy as np
import pytest

from rufous.data.answers import Answer
from rufous.data.caption_check import (
    CaptionLimits,
    drift_of,
    facts_of,
    language_of,
    problems_of,
    world_drift,
)
from rufous.world.captions import caption_of, distracting_captions, parse_caption
from rufous.world.scene import sample_scene

LIMITS = CaptionLimits()
GOOD = [
    "A young woman in a red coat walks two dogs along the beach while the camera follows her.",
    "Waves break against black rocks below a lighthouse.",
    "An old man pours tea; steam rises from the cup.",
    "A small green circle moving left on a white background.",
    'A man holds up a sign that says "open" in front of a shop.',
    "The camera pans over a frozen lake at sunset.",
]
BAD = {
    "it has 2 words": "A cat.",
    "it has 130 words": "a cat " * 65,
    "it refuses": "I'm sorry, but I can't view the video you mention here.",
    "it refuses ": "As an AI language model, I have no way to watch videos.",
    "it refuses  ": "Please provide the caption that you want me to rewrite.",
    "it chats": "Sure! A cat sits on a mat in the sun.",
    "it chats ": "Here is the caption you asked for: a cat on a mat.",
    "a label": "Caption: a cat sits on a mat in the sun.",
    "a label ": "Rewritten caption: a cat sits on a mat in the sun.",
    "it talks about captions": "The original caption says that a cat sits on a mat.",
    "it talks about pictures": "In the first frame, a cat sits on a mat in the sun.",
    "it talks to the reader": "A cat sits on a mat. Let me know if you need more.",
    "it holds Markdown": "**A cat** sits on a mat in the sun.",
    "it holds Markdown ": "- A cat sits on a mat\n- The sun shines on it",
    "it holds markup": "<caption>A cat sits on a mat in the sun.</caption>",
    "it holds an address": "A cat sits on a mat, see www.cats.example for more.",
    "it has more than one line": "A cat sits on a mat.\nThe sun shines on it.",
    "it stands in quotes": '"A cat sits on a mat in the sun."',
    "it is not English (german)": "Eine Katze sitzt in der Sonne auf einem Teppich und schaut nach dem Ball.",
    "it is not English (french)": "Un chat est assis sur le tapis avec une balle dans la maison.",
    "it is not English (spanish)": "El gato se sienta en la alfombra con una pelota y duerme.",
    "it is not English (another script)": "\u732b\u304c\u5ea7\u3063\u3066 a cat \u732b\u304c\u5ea7",
    "it is not English (unknown)": "lorem ipsum dolor sit amet consectetur",
}


@pytest.mark.parametrize("text", GOOD)
def test_captions_pass(text):
    assert problems_of(text, LIMITS) == []


@pytest.mark.parametrize(("problem", "text"), BAD.items(), ids=lambda value: value[:30])
def test_what_is_no_caption_is_told(problem, text):
    assert any(each.startswith(problem.strip()) for each in problems_of(text, LIMITS))


def test_an_answer_that_was_cut_off_is_told():
    assert problems_of(Answer(GOOD[0], is_whole=False), LIMITS) == ["it was cut off"]
    assert problems_of(Answer(GOOD[0]), LIMITS) == []


def test_languages_are_told_apart():
    assert [language_of(text) for text in GOOD] == ["english"] * len(GOOD)
    assert language_of("O homem com uma bola na praia") == "portuguese"
    assert language_of("De man loopt met een hond naar het strand") == "dutch"
    assert language_of("") == "unknown"


SOURCES = [
    "Woman with 3 dogs on grey beach, stock footage",
    "A woman in a red coat is walking dogs by the sea.",
]


@pytest.mark.parametrize(
    "text",
    [
        "A woman in a red coat walks three dogs on a gray beach.",
        "Three dogs and a woman walk by the sea on a grey beach, and the camera moves to the left.",
        "A woman, wearing a red coat, is slowly walking 3 dogs along the beach.",
    ],
)
def test_the_same_facts_in_other_words_are_no_drift(text):
    assert drift_of(text, SOURCES, CaptionLimits(min_kept=0.5)) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A woman walks three dogs on a gray beach near a lighthouse.", "things of no source: lighthou"),
        ("A woman in a blue coat walks three dogs on a gray beach.", "colors of no source: blue"),
        ("A woman in a red coat walks four dogs on a gray beach.", "numbers of no source: 4"),
        ("A woman in a red coat walks by the sea.", "facts it keeps 1: "),
    ],
)
def test_inventions_and_losses_are_told(text, told):
    assert told in "; ".join(drift_of(text, SOURCES, LIMITS))
    assert "4.0" not in "; ".join(drift_of(text, SOURCES, LIMITS))


def test_facts_are_compared_by_stems():
    facts = facts_of("Twelve golden leaves, falling slowly; 2,500 riders pass the grey city's rivers.")
    assert facts.colors == {"gold", "gray"}
    assert facts.numbers == {12.0, 2500.0}
    assert facts.things == facts_of("leaf rider passes city river").things
    assert facts_of("boxes horses buses dresses flies rider").things == {
        "box",
        "hors",
        "bus",
        "dress",
        "fly",
        "rid",
    }
    assert facts_of("a big house, a little mouse").things == facts_of("large houses, tiny mouse").things


def scenes(count):
    rng = np.random.default_rng(7)
    return [sample_scene(rng) for _ in range(count)], rng


def test_on_the_world_drift_is_exact():
    for scene in scenes(40)[0]:
        rng = np.random.default_rng(1)
        source = caption_of(scene, rng, complete=True)
        assert drift_of(caption_of(scene, rng, complete=True), [source], LIMITS) == []
        for wrong in distracting_captions(scene, source, rng, 3):
            assert any("invents" in each for each in drift_of(wrong, [source], LIMITS)), (wrong, source)


def test_on_the_world_losses_are_named():
    said, source = (parse_caption(text) for text in ("a red circle", "a small red circle moving left"))
    assert world_drift(said, [source]) == ["it loses size of thing 1", "it loses motion of thing 1"]
    assert world_drift(source, [said, source]) == []


def rates(count):
    """Shares that the check by words tells, of true captions and of wrong ones by what is wrong in them."""
    told, seen = {}, {}
    chosen, rng = scenes(count)
    for scene in chosen:
        source = caption_of(scene, rng, complete=True)
        # a word outside the grammar, in source and text, so that the check goes by words
        outside = "{} in the evening"
        texts = [caption_of(scene, rng, complete=True), *distracting_captions(scene, source, rng, 4)]
        for text in texts:
            exact = drift_of(text, [source], LIMITS)
            kind = exact[0].removeprefix("it invents ").partition(":")[0] if exact else "nothing"
            found = drift_of(outside.format(text), [outside.format(source)], CaptionLimits(min_kept=0.0))
            seen[kind] = seen.get(kind, 0) + 1
            told[kind] = told.get(kind, 0) + bool(found)
    return {kind: told[kind] / seen[kind] for kind in seen}


def test_the_check_by_words_finds_wrong_things_and_colours():
    """The rates that docs/curation_learned.md tells; more captions narrow them."""
    measured = rates(150)
    print(measured)
    assert measured["shape of thing 1"] > 0.9
    assert measured["colour of thing 1"] > 0.9
    assert measured["nothing"] < 0.3


def test_limits_that_cannot_be_kept_are_refused():
    with pytest.raises(ValueError, match="min_words=5 and max_words=4"):
        CaptionLimits(min_words=5, max_words=4)
    with pytest.raises(ValueError, match=r"min_kept=1\.5 is no share"):
        CaptionLimits(min_kept=1.5)
    with pytest.raises(ValueError, match="sources is empty"):
        drift_of("a cat", [], LIMITS)
