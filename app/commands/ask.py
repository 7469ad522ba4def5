"""`palimpsest ask`: questions at the terminal; of several versions, the answers stand side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.client import DEFAULT_URL, Client, InvalidRequest
from app.commands.options import AsJson, Key, Model, Url, any_version, aside, examples, out, print_json, service
from app.commands.shown import at_version, clean, probability
from app.domain.contract import Message, NamedVersion, QueryReply

EXAMPLES = examples(
    'palimpsest ask "The country where Lyon lies is"',
    'palimpsest ask "The country where Lyon lies is" --version 0 --version 1',
    'palimpsest ask "The country where Lyon lies is" --version 0 --version proposed-48213377',
    'palimpsest ask "The country where Lyon lies is" --top 3 --json',
)

NO_TEMPLATE = "no chat template"
QUIT, ANEW = ("/quit", "/exit"), "/new"


@dataclass(slots=True)
class Talk:
    """A conversation with one version of a model, or with a proposal.

    version: None: the live one. chat: whether questions are a user's turns, or texts to go on with.
    """

    client: Client
    model: str | None
    version: NamedVersion | None
    chat: bool
    tokens: int
    top: int
    said: list[Message] = field(default_factory=list)

    def ask(self, prompt: str) -> QueryReply:
        """What the model says; in chat, with all that was said before in mind."""
        if self.chat:
            try:
                return self._replied(prompt)
            except InvalidRequest as error:
                if NO_TEMPLATE not in error.detail:
                    raise
                self.chat = False
        asked = {"prompt": prompt, "max_new_tokens": self.tokens, "top_k": self.top}
        return self.client.query([asked], model=self.model, version=self.version)

    def _replied(self, prompt: str) -> QueryReply:
        messages = [*self.said, Message(role="user", content=prompt)]
        reply = self.client.chat(
            messages, model=self.model, version=self.version, max_new_tokens=self.tokens, top_k=self.top
        )
        text = reply.answers[0].text
        self.said = [*messages, Message(role="assistant", content=text)] if text else messages
        return reply


def ask(
    prompt: Annotated[str | None, typer.Argument(help="One question; without it, a chat until Ctrl-D.")] = None,
    model: Model = None,
    version: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the model, an alias, or the id of a proposal; twice for two, side by side.", metavar="VERSION"
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Go on with the text; so it is of a model that does not chat.")
    ] = False,
    tokens: Annotated[int, typer.Option("--max-new-tokens", help="Longest answer.", min=1, max=512)] = 48,
    top: Annotated[int, typer.Option(help="Show so many likeliest next tokens.", min=0, max=100)] = 0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Ask a model, once or in a chat at the terminal; greedily, so that versions can be compared.

    In a chat, /new forgets what was said, and /quit ends it. Lines from a pipe are asked one by one.
    """
    console = out()
    asked: list[NamedVersion | None] = [any_version(each) for each in version] if version else [None]
    with service(url, key, as_json=as_json) as client:
        talks = [Talk(client, model, each, not plain, tokens, top) for each in asked]
        for line in [prompt] if prompt is not None else _lines(talks):
            replies = [talk.ask(line) for talk in talks]
            if as_json:
                print_json(*replies)
            else:
                _show(console, replies)


def _lines(talks: Sequence[Talk]) -> Iterator[str]:
    """What is typed or comes through a pipe, without what is blank or for us."""
    if sys.stdin.isatty():
        yield from _typed(talks)
        return
    for line in filter(str.strip, sys.stdin):
        _forget(talks)
        yield line.rstrip("\n")


def _typed(talks: Sequence[Talk]) -> Iterator[str]:
    console = aside()
    console.print("Ctrl-D or /quit ends the chat, /new begins another one.")
    with suppress(EOFError, KeyboardInterrupt):
        while (line := console.input("[bold]> [/bold]").strip()) not in QUIT:
            if line == ANEW:
                _forget(talks)
            elif line:
                yield line


def _forget(talks: Sequence[Talk]) -> None:
    for talk in talks:
        talk.said.clear()


def _show(console: Console, replies: Sequence[QueryReply]) -> None:
    """One answer as it is; of several, the words in which they differ from the first stand out."""
    if len(replies) == 1:
        console.print(clean(replies[0].answers[0].text.strip()), markup=False, soft_wrap=True)
        _show_top(console, replies[0])
        return
    made = Table(*(at_version(reply.model, reply.version) for reply in replies), expand=True)
    first = replies[0].answers[0].text.split()
    texts = [_marked(first, replies[1].answers[0].text.split(), swapped=True)]
    texts += [_marked(first, reply.answers[0].text.split()) for reply in replies[1:]]
    made.add_row(*texts)
    if any(reply.answers[0].top for reply in replies):
        made.add_row(*(_tops(reply) for reply in replies))
    console.print(made)


def _marked(first: Sequence[str], other: Sequence[str], *, swapped: bool = False) -> Text:
    """The other's words, or the first's, with those that the two do not share marked."""
    told = Text()
    for kind, a, b, c, d in SequenceMatcher(None, first, other, autojunk=False).get_opcodes():
        words = first[a:b] if swapped else other[c:d]
        for word in words:
            told.append(clean(word), style="" if kind == "equal" else "bold red" if swapped else "bold green")
            told.append(" ")
    return told


def _tops(reply: QueryReply) -> str:
    return "\n".join(f"{probability(each.probability)} {clean(each.token)!r}" for each in reply.answers[0].top)


def _show_top(console: Console, reply: QueryReply) -> None:
    if reply.answers[0].top:
        console.print(_tops(reply), markup=False)
