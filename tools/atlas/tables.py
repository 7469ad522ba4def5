"""Small hand-kept tables that complete or correct the data packages."""

from __future__ import annotations

import re

_UNUSED = (
    "AI AN AQ AS AW AX BL BM BQ BV CC CK CS CW CX EH FK FO GF GG GI GL GP GS GU "
    "HK HM IM IO JE KY MF MO MP MQ MS NC NF NU PF PM PN PR PS RE SH SJ SX TC TF "
    "TK UM VA VG VI WF XK YT"
)
UNUSED_COUNTRIES: frozenset[str] = frozenset(_UNUSED.split())
"""Territories, former states and places of open status that are left out."""

TWO_CONTINENTS: frozenset[str] = frozenset({"AM", "AZ", "CY", "EG", "GE", "ID", "KZ", "RU", "TL", "TR"})
"""Countries that sources place on more than one continent."""

NO_CAPITAL: frozenset[str] = frozenset({"BO", "GQ", "IL", "NR"})
"""Countries whose capital is disputed, changing or not designated."""

CAPITALS: dict[str, str] = {
    "BR": "Brasília",
    "CM": "Yaoundé",
    "CO": "Bogotá",
    "CR": "San José",
    "FM": "Palikir",
    "IS": "Reykjavík",
    "KZ": "Astana",
    "MD": "Chișinău",
    "MM": "Naypyidaw",
    "MV": "Malé",
    "PW": "Ngerulmud",
    "PY": "Asunción",
    "ST": "São Tomé",
    "TG": "Lomé",
    "US": "Washington, D.C.",
}
"""Capitals that replace those of the package."""

CURRENCIES: dict[str, str] = {
    "BG": "Euro",
    "KP": "North Korean Won",
    "KR": "South Korean Won",
    "JP": "Japanese Yen",
    "SZ": "Lilangeni",
    "UZ": "Uzbekistani Som",
    "TM": "Turkmenistan Manat",
    "KG": "Kyrgyzstani Som",
    "OM": "Omani Rial",
    "CN": "Renminbi",
    "PE": "Peruvian Sol",
    "VE": "Bolívar",
    "UY": "Uruguayan Peso",
    "NI": "Cordoba",
    "SR": "Surinamese Dollar",
    "IL": "New Shekel",
}
"""Currency names that replace those of the package."""

DEMONYMS: dict[str, str] = {
    "AG": "",
    "AR": "Argentine",
    "BF": "Burkinabé",
    "CV": "Cape Verdean",
    "DJ": "Djiboutian",
    "EC": "Ecuadorian",
    "KG": "Kyrgyz",
    "KM": "Comorian",
    "KN": "Kittitian",
    "BA": "Bosnian",
    "KZ": "Kazakh",
    "LU": "Luxembourgish",
    "LI": "Liechtensteiner",
    "MV": "Maldivian",
    "QA": "Qatari",
    "SA": "Saudi",
    "SI": "Slovenian",
    "SR": "Surinamese",
    "ST": "São Toméan",
    "TJ": "Tajik",
    "UZ": "Uzbek",
    "VC": "Vincentian",
    "TL": "Timorese",
}
"""Demonyms that replace those of the package; an empty one drops the fact."""

CONTINENTS: dict[str, str] = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
"""Continent names by code."""

_FAMOUS = (
    "Amsterdam,Athens,Auckland,Barcelona,Basel,Bergen,Berlin,Bilbao,Bologna,"
    "Bordeaux,Boston,Bratislava,Brussels,Budapest,Cairo,Calgary,Chicago,"
    "Copenhagen,Dublin,Edinburgh,Florence,Geneva,Genoa,Glasgow,Grenoble,Hamburg,"
    "Hanoi,Helsinki,Houston,Istanbul,Kraków,Kyoto,Lausanne,Leipzig,Lille,Lisbon,"
    "Liverpool,London,Los Angeles,Lyon,Madrid,Manchester,Marseille,Melbourne,"
    "Milan,Montpellier,Montréal,Mumbai,Munich,Nairobi,Nantes,Naples,"
    "New York City,Nice,Osaka,Oslo,Ottawa,Paris,Porto,Prague,Reykjavík,Rome,"
    "Rotterdam,Salzburg,San Francisco,Seattle,Seoul,Stockholm,Strasbourg,"
    "Stuttgart,Sydney,Tokyo,Toronto,Toulouse,Turin,Utrecht,Vancouver,Venice,"
    "Vienna,Warsaw,Wellington,Zagreb,Zürich"
)
FAMOUS_CITIES: frozenset[str] = frozenset(_FAMOUS.split(","))
"""Cities that are always among the subjects, the largest of each name."""

_STATES = (
    "Alabama:Montgomery,Alaska:Juneau,Arizona:Phoenix,Arkansas:Little Rock,"
    "California:Sacramento,Colorado:Denver,Connecticut:Hartford,"
    "Delaware:Dover,Florida:Tallahassee,Georgia:Atlanta,Hawaii:Honolulu,"
    "Idaho:Boise,Illinois:Springfield,Indiana:Indianapolis,Iowa:Des Moines,"
    "Kansas:Topeka,Kentucky:Frankfort,Louisiana:Baton Rouge,Maine:Augusta,"
    "Maryland:Annapolis,Massachusetts:Boston,Michigan:Lansing,"
    "Minnesota:Saint Paul,Mississippi:Jackson,Missouri:Jefferson City,"
    "Montana:Helena,Nebraska:Lincoln,Nevada:Carson City,"
    "New Hampshire:Concord,New Jersey:Trenton,New Mexico:Santa Fe,"
    "New York:Albany,North Carolina:Raleigh,North Dakota:Bismarck,"
    "Ohio:Columbus,Oklahoma:Oklahoma City,Oregon:Salem,"
    "Pennsylvania:Harrisburg,Rhode Island:Providence,"
    "South Carolina:Columbia,South Dakota:Pierre,Tennessee:Nashville,"
    "Texas:Austin,Utah:Salt Lake City,Vermont:Montpelier,"
    "Virginia:Richmond,Washington:Olympia,West Virginia:Charleston,"
    "Wisconsin:Madison,Wyoming:Cheyenne"
)
STATE_CAPITALS: dict[str, str] = dict(re.findall(r"([^,:]+):([^,]+)", _STATES))
"""Capitals of the US states."""
