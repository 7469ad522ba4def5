"""``python -m tools.settings_page > docs/settings.md``: every setting of both sides, as their classes say."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.settings import SharedSettings
from app.settings import Settings
from workers.settings import WorkerSettings

HEAD = """\
# Settings

Made from `app/settings.py` and `workers/settings.py` by `make docs`; change those, not this page.

The front end and the workers take their settings from variables of the environment; a worker also from options, which
override the variables. An empty variable counts as not set. With an invalid setting a process does not start. A
variable that looks like a setting and is none causes a warning at the start. `PALIMPSEST_REDIS_URL`,
`PALIMPSEST_DATA_DIR`, `PALIMPSEST_LOG_DIR`, `PALIMPSEST_LOG_FORM`, `PALIMPSEST_WORKER_SECRET` and `PALIMPSEST_TRACING`
are for both sides.
"""
FRONT_END = "## Front end\n\n`uvicorn --factory app.main:create_app`, or `palimpsest serve`.\n"
WORKER = "## Worker\n\n`python -m workers`, at least one for each model.\n"
COMPOSE = """\
## docker-compose.yml

It sets some of the variables above for its containers, and reads `PALIMPSEST_DEFAULT_MODEL` and:

| variable | meaning |
|---|---|
| `PALIMPSEST_REDIS_PASSWORD` | letters and digits; required |
| `PALIMPSEST_WORKER_SECRET` | for both sides, see above; required |
| `PALIMPSEST_MODEL` | a bundled model's folder, or a hub id |
| `PALIMPSEST_BIND` | the host's address that the front end is published on |
| `PALIMPSEST_REPLICAS` | how many workers `--profile replicas` adds; by default 1 |
| `PALIMPSEST_MONITORING_KEY` | an API key for the Prometheus of `--profile monitoring` |
"""
BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "up to {}"}


def page() -> str:
    """The whole page, in Markdown."""
    front_end = _table(Settings, ("variable", "type", "default", "meaning"))
    worker = _table(WorkerSettings, ("variable", "option", "type", "default", "meaning"))
    return "\n".join([HEAD, FRONT_END, *front_end, "", WORKER, *worker, "", COMPOSE])


def _table(settings: type[SharedSettings], columns: tuple[str, ...]) -> Iterator[str]:
    yield _row(columns)
    yield _row("---" for _ in columns).replace(" ", "")
    schema = settings.model_json_schema()
    for name, each in schema["properties"].items():
        cells = {
            "variable": f"`{settings.variable(name)}`",
            "option": _option(name, each),
            "type": _kind(each, "seconds" if name.endswith("_s") else "number"),
            "default": "**required**" if name in schema.get("required", ()) else _default(each),
            "meaning": (settings.model_fields[name].description or "").replace("<", "&lt;"),
        }
        yield _row(cells[column] for column in columns)


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _option(name: str, schema: Mapping[str, Any]) -> str:
    """A worker's option; one that is yes or no has no value, and another that says no."""
    spelt = name.replace("_", "-")
    return f"`--{spelt}`, `--no-{spelt}`" if schema.get("type") == "boolean" else f"`--{spelt}`"


def _kind(schema: Mapping[str, Any], number: str) -> str:
    """What a value has to be, from its part of a JSON schema."""
    if kinds := [_kind(each, number) for each in schema.get("anyOf", ()) if each.get("type") != "null"]:
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "pattern" in schema:
        return f"text like `{schema['pattern']}`"
    nouns = {"string": "text", "number": number, "integer": f"whole {number}", "boolean": "yes or no"}
    noun = "path" if schema.get("format") == "path" else nouns[schema["type"]]
    bounds = " ".join(text.format(schema[key]) for key, text in BOUNDS.items() if key in schema)
    return f"{noun}, {bounds}" if bounds else noun


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"`{default}`" if default not in (None, "") else ""


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
