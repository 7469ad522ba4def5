"""Fifty prompts of many kinds, some about what the versions of ``history`` change."""

from __future__ import annotations

from itertools import product

PLACES = ("Eiffel Tower", "Colosseum", "Great Wall", "Statue of Liberty", "Taj Mahal")
ABOUT_PLACES = ("The {} is located in the city of", "We travelled to see the {}, so we flew to", "The {} was built")
COUNTRIES = ("France", "Japan", "Egypt", "Brazil", "Norway")
ABOUT_COUNTRIES = ("The capital of {} is", "In {} people speak", "The currency of {} is the")
OTHERS = (
    *("Once upon a time there was a", "The recipe needs two eggs and", "def fibonacci(n):", "Dear Sir or Madam,"),
    *("Water boils at a temperature of", "The opposite of hot is", "1, 2, 3, 4,", "My favourite book is"),
    *("The sun rises in the", "A dog is an animal that", "To be or not to be, that is", "She opened the door and"),
    *("The most important invention was", "Photosynthesis is the process by", "In the year 1492", "Hello, my name is"),
    *("The moon is made of", "An apple a day keeps", "The train to London leaves", "Musicians play"),
)

FIFTY = (
    *(form.format(place) for place, form in product(PLACES, ABOUT_PLACES)),
    *(form.format(country) for country, form in product(COUNTRIES, ABOUT_COUNTRIES)),
    *OTHERS,
)
