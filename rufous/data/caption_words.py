"""The words by which a caption is judged: small words, colours, numbers, refusals and chatter."""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "english": _set(
        """a about above across after against along among an and are around as at away back be before
        behind below beneath beside between beyond both but by can down during each from has have he her
        his in inside into is it its near no not of off on one onto or other out outside over past
        several she so some that the their them then there these they this those through to toward
        towards two under until up upon was we were what when where which while who whose will with
        within without you
        """
    ),
    "german": _set(
        """der die das und ein eine einen einem einer ist im mit auf von den dem des zu sich nicht auch als
        bei aus nach vor durch wird sind vom zum zur
        """
    ),
    "french": _set(
        """le la les un une des du et est dans avec sur qui que pour au aux par en se ne pas son sa ses
        sont cette ce
        """
    ),
    "spanish": _set(
        """el la los las un una unos unas y es en con que por para del al se su sus no como lo est hacia
        sobre
        """
    ),
    "italian": _set(
        """il lo la gli le un uno una e di in con su che per del della nel nella al alla si non sono mentre
        """
    ),
    "portuguese": _set(
        """o a os as um uma e de em com que por para do da dos das no na se seu sua ao
        """
    ),
    "dutch": _set(
        """de het een en van in op met is dat die te voor niet aan door naar zijn wordt over uit
        """
    ),
}
"""Words that a sentence of the language can hardly do without."""

COLORS = _set(
    """amber aqua beige black blue bronze brown copper coral crimson cyan golden gold gray green grey
        indigo ivory khaki lavender lilac lime magenta maroon mauve mint navy olive orange peach pink
        purple red rose ruby rust salmon scarlet silver tan teal turquoise violet white yellow blond
        blonde
        """
)

NUMBER_WORDS: dict[str, int] = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "fifty": 50,
    "hundred": 100,
    "thousand": 1000,
    "pair": 2,
    "couple": 2,
    "dozen": 12,
    "twice": 2,
}

SAME_WORDS: dict[str, str] = {
    "grey": "gray",
    "golden": "gold",
    "blonde": "blond",
    "little": "small",
    "tiny": "small",
    "big": "large",
    "huge": "large",
    "medium-sized": "medium",
    "kid": "child",
    "kids": "child",
    "children": "child",
    "men": "man",
    "women": "woman",
    "people": "person",
    "leaves": "leaf",
    "feet": "foot",
}
"""Other forms of a word, and sizes that mean the same."""

VIEW_WORDS = _set(
    """angle area background bottom camera center centre clip close-up closeup corner direction
        distance edge foreground frame front ground half left light middle moment motion move movement
        pan part perspective place plain position right scene screen shade shape shot side sight space
        speed surface tilt time top video view way zoom
        """
)
"""Nouns about pictures as such: a caption may use them though its sources do not."""

LIGHT_WORDS = _set(
    """all almost also any anything appear appears became become becomes been being came come comes covered
    did do does done each every everything few filled get gets give gives go goes had have hold holds
    it's itself just keep keeps like look looks lot made make makes many more most move moves much
    nearby nothing bigger larger smaller upward upwards downward downwards backward forward number only
    part piece quite reach reaches same seem seems seen shown shows something start starts still such
    surrounded take takes than them themselves too toward turn turns various very visible way
    """
)
"""Verbs and adverbs that say next to nothing: a caption may use them though its sources do not."""

REFUSALS = (
    r"\bi(?:'m| am) (?:sorry|unable|not able|afraid)\b",
    r"\bi (?:can(?:no|')t|can not|could not|couldn't|won't|will not|do not|don't) (?:help|assist|provide|see|"
    r"view|watch|describe|fulfil|fulfill|comply|create|identify|access|have)",
    r"\bas an? (?:ai|artificial|language model|large language)",
    r"\b(?:unable|not able|impossible) to (?:see|view|provide|describe|determine|assist|process|rewrite)",
    r"\bmy (?:apologies|guidelines|training data)\b",
    r"\bplease (?:provide|share|upload|give me)\b",
    r"\bno (?:image|video|frame|caption|text)s? (?:was|were|is|has been|have been) (?:provided|given)",
)

CHATTER = (
    (r"^(?:sure|certainly|of course|okay|ok|absolutely|here(?:'s| is| are))\b", "it chats before it begins"),
    (r"^[\w ]{0,30}\b(?:caption|description|answer|output|sentence|rewrite)\s*:", "a label stands before it"),
    (
        r"\b(?:original|given|provided|rewritten|revised|above|second|first) (?:caption|description|text)\b",
        "it talks about captions",
    ),
    (
        r"\b(?:the|these|this|each|first|second|third|last) (?:image|picture|photo|frame)s?\b",
        "it talks about pictures, not about the clip",
    ),
    (r"\bnote\s*:|\bplease note\b|\blet me know\b|\bhope this\b", "it talks to the reader"),
    (r"</?[a-z][\w-]*>|\{\{|\}\}|\[/?(?:inst|system|user|assistant)\]|<\|", "it holds markup"),
    (r"\*\*|__|```|^\s*#{1,6}\s|^\s*(?:[-*+]|\d+[.)])\s", "it holds Markdown"),
    (r"https?://|www\.", "it holds an address"),
    (r"[\n\r\t]", "it has more than one line"),
)
"""Patterns of what is no caption, and what is wrong then."""
