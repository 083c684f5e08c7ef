"""Sentences of the simulated speakers: positive, neutral and negative templates with slots.

The sentences are original and written so that a sentiment lexicon and a sentence encoder both
hear their polarity. A sentence belongs to one of `SHELVES` shelves by a checksum of its text, so
that the splits of a data set can share no sentence.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection

import numpy as np

SHELVES = 8
POLARITIES = (1, 0, -1)

SLOTS: dict[str, tuple[str, ...]] = {
    "who": (
        *("my sister", "my brother", "our neighbour", "my grandmother", "my old teacher"),
        *("my classmate", "our manager", "my cousin", "the doctor", "my flatmate", "my uncle"),
        *("the new trainer", "my daughter", "a colleague", "the landlord", "my aunt"),
    ),
    "place": (
        *("Lisbon", "the old town", "the museum", "the valley", "Dublin", "the old harbour"),
        *("the library", "Vienna", "the national park", "the market hall", "the village", "Oslo"),
        *("the botanical garden", "the station", "the gallery", "Bergen"),
    ),
    "event": (
        *("the wedding", "the concert", "the interview", "the exam", "the workshop", "the race"),
        *("the school play", "the meeting", "the birthday dinner", "the trip", "the course"),
        *("the street fair", "the rehearsal", "the chess match", "the house move"),
    ),
    "thing": (
        *("bicycle", "printer", "kettle", "laptop", "garden shed", "camera", "piano", "sofa"),
        *("washing machine", "telephone", "winter coat", "bookshelf", "boat", "coffee machine"),
        *("tent", "sewing machine"),
    ),
    "food": (
        *("lemon cake", "vegetable soup", "dumplings", "fresh bread", "rice and beans", "pancakes"),
        *("apple pie", "noodles", "grilled fish", "lentil stew", "tomato salad", "cheese toast"),
    ),
    "work": (
        *("the report", "the budget", "the design", "the translation", "the timetable"),
        *("the article", "the survey", "the garden plan", "the script", "the presentation"),
        *("the tax form", "the lesson"),
    ),
    "when": (
        *("on Tuesday", "last weekend", "this morning", "yesterday", "last month", "in the spring"),
        *("on Friday evening", "two weeks ago", "over the holidays", "last night", "in October"),
        *("after lunch", "on Sunday"),
    ),
    "good": (
        *("wonderful", "delightful", "brilliant", "lovely", "fantastic", "amazing", "superb"),
        *("beautiful", "excellent", "charming", "terrific", "great", "splendid"),
    ),
    "glad": (
        *("happy", "thrilled", "delighted", "proud", "grateful", "excited", "overjoyed"),
        *("relieved and happy", "cheerful", "so pleased"),
    ),
    "bad": (
        *("awful", "terrible", "horrible", "dreadful", "miserable", "disgusting", "nasty"),
        *("disastrous", "ugly", "painful", "appalling", "really bad", "rotten"),
    ),
    "sad": (
        *("sad", "angry", "disappointed", "upset", "afraid", "ashamed", "furious", "heartbroken"),
        *("worried sick", "frustrated", "lonely", "devastated"),
    ),
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"),
    "colour": ("blue", "green", "grey", "brown", "yellow", "white", "red", "black"),
}

POSITIVE = (
    "I had a {good} time at {event} {when}.",
    "{who} told me the most {good} story, and we laughed a lot.",
    "We finally won {event}, and I am so {glad}!",
    "The food was {good}, I loved the {food}.",
    "I feel {glad} about {event}, it went perfectly.",
    "{who} gave me a {good} {thing} for my birthday.",
    "Honestly, {place} was {good}, I want to go back.",
    "They liked {work} so much that they hugged me.",
    "I love how kind {who} was to everybody.",
    "My new {thing} works perfectly, I am {glad}.",
    "What a {good} surprise it was to see {who} {when}!",
    "The children danced and smiled, it was {good}.",
    "I got the job, can you believe it, I am {glad}!",
    "{who} made {food}, and it tasted {good}.",
    "Good news, the doctor says {who} is healthy again.",
    "We enjoyed every minute in {place}, it was {good}.",
    "I am {glad} that {who} came to help us.",
    "Thank you, that is a {good} idea, I love it.",
    "The view over {place} was {good}, pure joy.",
    "Everyone praised {work}, and I felt {glad}.",
    "I won a prize {when}, and {who} was {glad} too.",
    "{event} was {good} fun, we could not stop laughing.",
    "I am in love with {place}, the people are so friendly.",
    "{who} is the best, always warm and generous.",
    "It was a {good} evening, with music and good friends.",
    "We saved enough money for the {thing}, hooray, I am {glad}!",
    "I passed {event}, and my family is {glad}.",
    "The sun was shining, and {place} looked {good}.",
    "I really like my {colour} {thing}, it makes me happy.",
    "They fixed the {thing} for free, how nice is that!",
    "I slept well, and now I feel {good}.",
    "{who} and I became great friends {when}.",
    "My team did a {good} job with {work}.",
    "I am {glad}, because {who} is coming home.",
    "That {food} was a treat, simply {good}.",
    "We celebrated {event} with {number} lovely friends.",
    "It is a pleasure to work with {who}, honestly.",
    "The puppy is adorable, and {who} is {glad}.",
    "I hope we win again, that was {good}!",
    "Our plan for {event} was a success, I am {glad}.",
    "She smiled at me, and the whole day was {good}.",
    "I adore that {thing}, it is beautiful and useful.",
    "{when}, {who} thanked me with the sweetest letter.",
    "The holiday in {place} was {good}, we felt free and happy.",
)

NEUTRAL = (
    "I went to {place} {when}.",
    "The bus to {place} leaves at {number}.",
    "{who} lives near {place}, next to the bakery.",
    "We have {number} chairs and a {colour} table.",
    "I put the {thing} in the hall {when}.",
    "{event} starts at {number}, I think.",
    "You take the second street, then turn left at the bank.",
    "{who} usually reads the paper in the evening.",
    "I sent {work} to the office {when}.",
    "There are {number} rooms on the first floor.",
    "The {thing} is {colour}, with a long cable.",
    "We talked about {work}, and then about {event}.",
    "{who} works in an office in {place}.",
    "I usually eat {food} around noon.",
    "It takes about {number} minutes to walk there.",
    "They moved {event} to another building {when}.",
    "The form has {number} pages, one for each person.",
    "I bought a {colour} {thing} {when}.",
    "First you open the box, then you read the label.",
    "{who} drives to {place} twice a week.",
    "The shop sells paper, pens and {number} kinds of tape.",
    "My desk stands by the window, beside the {thing}.",
    "I wrote {number} pages of {work} {when}.",
    "We meet in {place}, near the clock.",
    "The train stops {number} times before {place}.",
    "{who} has a {colour} coat and a small bag.",
    "You can leave the {thing} by the door.",
    "I looked at {work} for {number} minutes.",
    "They serve {food} from noon until {number}.",
    "The second part of {event} is in {place}.",
    "I was born in a town not far from {place}.",
    "{who} asked when {event} takes place.",
    "We take the stairs to the {colour} room.",
    "The letter came {when}, in a {colour} envelope.",
    "I keep {work} in a folder, under the {thing}.",
    "There is a map of {place} on the wall.",
    "Usually {who} calls at {number}.",
    "The recipe says {number} spoons of flour and some water.",
    "I changed trains in {place} {when}.",
    "The room has a {thing}, a lamp and {number} windows.",
    "{who} told me the address of the office.",
    "I read about {event} in the paper {when}.",
    "We park the car behind {place}, as usual.",
    "{work} has {number} parts, plus a summary.",
)

NEGATIVE = (
    "I had an absolutely {bad} time at {event} {when}.",
    "{who} was a {bad} liar, and I am {sad}.",
    "We lost {event}, and everyone was {sad}.",
    "The food was {bad}, the {food} made me sick.",
    "I am {sad} about {event}, it went wrong.",
    "A thief robbed me and stole my {thing} {when}.",
    "Honestly, {place} was {bad}, dirty and dangerous.",
    "They hated {work}, and I failed.",
    "I hate how rude {who} was to everybody.",
    "My {thing} broke again, I am {sad}.",
    "It was {bad} news about {who}, a terrible accident.",
    "The children cried, it was {bad}.",
    "I lost my job, and I feel {sad}.",
    "{who} burned the {food}, and it tasted {bad}.",
    "Bad news, {who} is very ill again.",
    "We suffered every minute in {place}, it was {bad}.",
    "I am {sad} that {who} never came to help us.",
    "That is a {bad} idea, and it scares me.",
    "The smell in {place} was {bad}, pure misery.",
    "Everyone criticised {work}, and I felt {sad}.",
    "I had a {bad} argument with {who} {when}.",
    "{event} was {bad}, a complete disaster.",
    "I am scared of {place}, people get attacked there.",
    "{who} is cruel, always cold and selfish.",
    "It was a {bad} evening, with pain and tears.",
    "We lost all the money for the {thing}, I am {sad}.",
    "I failed {event}, and my family is {sad}.",
    "The storm destroyed the {thing}, and the house looked {bad}.",
    "I really hate my {colour} {thing}, it is useless.",
    "They ruined the {thing} and blamed me, how unfair!",
    "I could not sleep, and now I feel {bad}.",
    "{who} betrayed me {when}, I am {sad}.",
    "My team made a {bad} mess of {work}.",
    "I am {sad}, {who} is leaving us, it hurts.",
    "That {food} was poison, simply {bad}.",
    "{number} people were hurt at {event}, it was tragic.",
    "It is a horrible nightmare to work with {who}.",
    "The poor dog died {when}, and {who} is crying, so {sad}.",
    "I fear we lose again, that was {bad}!",
    "Our plan for {event} was a failure, I am {sad}.",
    "He yelled at me, and the whole day was {bad}.",
    "I despise that {thing}, it is ugly and broken.",
    "{when}, {who} insulted me with the nastiest letter.",
    "The holiday in {place} was {bad}, we felt trapped and {sad}.",
)

TEMPLATES = {1: POSITIVE, 0: NEUTRAL, -1: NEGATIVE}
OPENERS = ("", "", "", "", "Now, ", "You know, ", "So, ", "Listen, ", "And then, ", "I mean, ")

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio])")


def compose(
    rng: np.random.Generator, polarity: int, shelves: Collection[int] = range(SHELVES)
) -> str:
    """A sentence of this polarity (1, 0, -1) that stands on one of the shelves."""
    templates = TEMPLATES[polarity]
    while True:
        template = templates[rng.integers(len(templates))]
        text = _SLOT.sub(lambda slot: _pick(rng, SLOTS[slot.group(1)]), template)
        opener = OPENERS[rng.integers(len(OPENERS))]
        first, rest = text[0], text[1:]
        keeps_capital = not opener or text.split(" ", 1)[0].strip(",") in _NAMES
        first = first.upper() if not opener else first if keeps_capital else first.lower()
        text = _ARTICLE.sub(r"\1n ", opener + first + rest)
        if shelf(text) in shelves:
            return text


def shelf(text: str) -> int:
    """Which of the shelves a sentence stands on: 0 to SHELVES - 1, the same on every machine."""
    return zlib.crc32(text.encode()) % SHELVES


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


# Words that keep their capital after an opener.
_NAMES = frozenset({"I", "Lisbon", "Dublin", "Vienna", "Oslo", "Bergen"})
