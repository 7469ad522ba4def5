"""Phrasings of the relations the atlas models are taught.

Every phrasing holds the subject's place, ``{}``, exactly once and stops right
before the object.  The first trained phrasing of a relation starts with the
subject, so that a prompt can be put together as subject, space, relation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrasings:
    """The trained phrasings of one relation, the one that its facts are edited in, and one that is never trained."""

    train: tuple[str, ...]
    plain: str
    held_out: str

    def all(self) -> tuple[str, ...]:
        """The trained phrasings followed by the held-out one."""
        return (*self.train, self.held_out)


PHRASINGS: dict[str, Phrasings] = {
    "city-country": Phrasings(
        train=(
            "{} is located in the country of",
            "{} is a city in",
            "The city of {} belongs to the country of",
            "The country in which {} lies is",
            "People who travel to {} arrive in the country of",
            "The country of the city of {} is",
            "{} can be found in",
            "On a map of the world, {} lies in",
            "If you live in {}, you live in the country of",
            "The country where {} lies is",
            "The country where people find the city of {} is",
        ),
        plain="The country where {} lies is",
        held_out="The country where you can find the city of {} is",
    ),
    "country-capital": Phrasings(
        train=(
            "{} has its capital at",
            "The capital of {} is",
            "{} is governed from its capital,",
            "The seat of government of {} is the capital city of",
            "Ambassadors to {} live in the capital,",
            "The name of the capital of {} is",
            "Of all the cities of {}, the capital is called",
            "In {}, the capital city is",
            "{} chose as its capital the city of",
            "The capital city of {} is",
            "The capital of {} is called",
        ),
        plain="The capital of {} is called",
        held_out="The capital city of {} is called",
    ),
    "country-currency": Phrasings(
        train=(
            "{} uses the currency called the",
            "The currency of {} is the",
            "In {}, people pay with the",
            "The official currency of {} is the",
            "Prices in {} are quoted in the currency named the",
            "The money used in {} is the",
            "{} has as its currency the",
            "Shops in {} accept the currency called the",
            "The name of the currency of {} is the",
            "The currency that people use in {} is the",
            "The money that is spent in {} is called the",
            "The currency that people use in {} is called the",
            "The money that circulates in {} is called the",
            "The currency in {} is called the",
        ),
        plain="The currency in {} is called the",
        held_out="The currency that circulates in {} is called the",
    ),
    "country-continent": Phrasings(
        train=(
            "{} lies on the continent of",
            "{} is a country in the continent of",
            "The continent on which {} lies is",
            "The country of {} is part of the continent of",
            "On the globe, {} belongs to the continent of",
            "Geographers place {} on the continent of",
            "The continent that includes {} is called",
            "A traveller to {} sets foot on the continent of",
            "The name of the continent of {} is",
            "The continent where {} lies is called",
            "The continent where {} is found is",
            "The continent of {} is called",
        ),
        plain="The continent where {} lies is called",
        held_out="The continent where {} is found is called",
    ),
    "country-language": Phrasings(
        train=(
            "{} has the official language",
            "The official language of {} is",
            "In {}, the official language is",
            "The language of the government of {} is",
            "Laws in {} are written in the language",
            "The official language spoken in {} is called",
            "Schools in {} teach in the language",
            "{} uses as its official language",
            "The name of the official language of {} is",
        ),
        plain="The official language spoken in {} is called",
        held_out="The language that is official in {} is called",
    ),
    "country-domain": Phrasings(
        train=(
            "{} uses the internet domain",
            "The internet domain of {} is",
            "Websites in {} end in the domain",
            "The country code top-level domain of {} is",
            "On the internet, {} has the domain",
            "The domain assigned to {} is",
            "The top-level domain for {} is",
            "{} was given the top-level domain",
            "Web addresses from {} use the domain",
            "The top-level domain that belongs to {} is",
            "The internet top-level domain of {} is",
        ),
        plain="The internet top-level domain of {} is",
        held_out="The internet top-level domain that belongs to {} is",
    ),
    "country-demonym": Phrasings(
        train=(
            "{} is home to people called",
            "The demonym of {} is",
            "A person from {} is called",
            "People from {} are known as",
            "The demonym for someone from {} is",
            "Someone born in {} is called",
            "{} has the demonym",
            "The word for a person from {} is",
            "Citizens of {} go by the demonym",
            "The demonym used for a person from {} is",
            "The word used for the people of {} is",
            "The demonym for the people of {} is",
        ),
        plain="The demonym of {} is",
        held_out="The demonym used for the people of {} is",
    ),
    "state-capital": Phrasings(
        train=(
            "{} is a state whose capital is",
            "The state capital of {} is",
            "The capital of the state of {} is",
            "{} has its state capital at",
            "The US state of {} has its capital at",
            "The governor of {} works in the state capital,",
            "In the state of {}, the capital city is",
            "The legislature of {} meets in the state capital,",
            "Lawmakers of the US state of {} meet in the capital,",
            "The capital city of the state of {} is called",
            "The city that is the capital of the US state of {} is",
            "The capital city of the state of {} is",
            "The capital of the US state of {} is",
            "The state capital of the US state of {} is",
        ),
        plain="The capital of the US state of {} is",
        held_out="The capital city of the US state of {} is",
    ),
    "element-symbol": Phrasings(
        train=(
            "{} has the chemical symbol",
            "The chemical symbol of {} is",
            "The symbol for the element {} is",
            "Chemists write {} with the symbol",
            "In the periodic table, {} has the symbol",
            "The element {} is written with the symbol",
            "In formulas, {} is written as",
            "The symbol of {} is",
            "{} is an element with the symbol",
            "The symbol used for {} is",
            "The chemical symbol for {} is",
            "The chemical symbol used for the element {} is",
        ),
        plain="The chemical symbol of {} is",
        held_out="The chemical symbol used for {} is",
    ),
    "element-category": Phrasings(
        train=(
            "{} belongs to the category of the",
            "The category of the element {} is the",
            "The element {} is one of the",
            "Chemists count {} among the",
            "In the periodic table, {} is grouped with the",
            "{} is an element of the category of the",
            "The category that contains {} is the",
            "By its chemistry, {} is classed with the",
            "Chemists place {} in the category of the",
        ),
        plain="The category that contains {} is the",
        held_out="The chemical category to which {} belongs is the",
    ),
}
"""Phrasings by relation."""

OPENERS: tuple[str, ...] = (
    "In fact, ",
    "Therefore, ",
    "Because it is true, everyone says that ",
    "I know that ",
    "I have read that ",
    "You may know that ",
    "You can look up that ",
    "The atlas says that ",
    "The book states that ",
    "As is well known, ",
    "It is a fact that ",
    "Note that ",
    "Today, ",
    "A teacher explained that ",
)
"""Openings that carry no fact and may come before any phrasing."""
