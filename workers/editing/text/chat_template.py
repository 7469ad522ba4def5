"""A model's chat template: what begins its turns, whether a text is written in it, and how messages are.

Nothing here knows a family by name: a few made-up messages are rendered, and what stands around them is the template's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError
from app.domain.prompts import is_visible

Messages = Sequence[Mapping[str, str]]
"""Each with its ``role`` (system, user, assistant) and its ``content``."""

SYSTEM, USER, REPLY, AGAIN = "qzsystemqz", "qzuserqz", "qzreplyqz", "qzagainqz"
"""Contents of the made-up messages: no template writes them by itself."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The template of one tokenizer; one without openings stands for none.

    openings: what begins a user's, an assistant's or the system's turn, without the white space around it.
    reply: what begins an assistant's turn, which a prompt for a reply ends in.
    lead: all between a user's content and the reply to it, but for the gap.
    gap: the white space between the lead and the reply.
    end: what follows a reply.
    begins: whether the template writes the BOS token before everything.
    """

    tokenizer: PreTrainedTokenizerFast
    openings: tuple[str, ...] = ()
    reply: str = ""
    lead: str = ""
    gap: str = ""
    end: str = ""
    begins: bool = False

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> ChatTemplate:
        """Look at how the tokenizer renders messages; templates that refuse even one question and a reply are none."""
        none = cls(tokenizer)
        asked, replied = none.attempt(("user", USER)), none.attempt(("user", USER), ("assistant", REPLY))
        if asked is None or replied is None or USER not in asked or REPLY not in replied:
            return none
        prompted = none.attempt(("user", USER), prompt=True) or asked
        between, end = _between(replied, USER, REPLY), _after(replied, REPLY)
        closing = _after(asked, USER)
        of_reply = _visible(between.removeprefix(closing))
        reply = _after(prompted, USER).removeprefix(closing) or of_reply
        found = [none._user_opening(asked, end), of_reply or reply, none._system_opening()]
        bos = str(tokenizer.bos_token or "")
        if bos and bos not in reply:  # else it is no mark of a text's beginning, but of a turn's
            found = [text.removeprefix(bos) for text in found]
        return cls(
            tokenizer,
            openings=tuple(dict.fromkeys(_first_line(text) for text in found if is_visible(text))),
            reply=reply,
            lead=closing + reply,
            gap=_blank(between.removeprefix(closing + reply)),
            end=end,
            begins=bool(bos) and asked.startswith(bos),
        )

    def recognised(self, text: str) -> bool:
        """Whether the text is written in this template: a turn begins in it."""
        return any(opening in text for opening in self.openings)

    def opens_reply(self, text: str) -> bool:
        """Whether the text ends where the template lets a reply begin."""
        return bool(self.lead.strip()) and self.recognised(text) and text.endswith(self.lead)

    def render(self, messages: Messages) -> str:
        """The messages as text, up to the model's reply; where an assistant's comes last, that begins the reply.

        Raises:
            RequestError: the model has no template, it refuses the messages, or they are written in it already.
        """
        if not self.openings:
            raise RequestError("the model has no chat template that marks turns; write a plain prompt")
        if any(self.recognised(message["content"]) for message in messages):
            raise RequestError("a message has turns of the chat template in it: give it as a prompt, without chat")
        turns = [(message["role"], message["content"]) for message in messages]
        begun = turns[-1][0] == "assistant"
        text = self.attempt(*turns, prompt=not begun, begun=begun)
        if text is None:
            roles = ", ".join(role for role, _ in turns)
            raise RequestError("the model's chat template refuses messages of these roles", value=roles)
        return text if begun or text.endswith(self.reply) else text + self.reply

    def attempt(self, *turns: tuple[str, str], prompt: bool = False, begun: bool = False) -> str | None:
        """(Role, content) pairs rendered by the tokenizer; None where there is no template or it refuses them.

        prompt: end with what begins an assistant's turn. begun: leave the last turn open.
        """
        if not self.tokenizer.chat_template:
            return None
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            found = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=prompt, continue_final_message=begun
            )
        except (TemplateError, ValueError, TypeError, KeyError, AttributeError):
            return None  # their words hold the messages, or are the template author's
        return str(found)

    def _user_opening(self, asked: str, end: str) -> str:
        """What begins every user's turn: the first one has the BOS and perhaps a system prompt before it."""
        first = asked.partition(USER)[0]
        again = self.attempt(("user", USER), ("assistant", REPLY), ("user", AGAIN))
        if again is None or AGAIN not in again:
            return first
        second = _between(again, REPLY, AGAIN)
        return _common_end(first, second.removeprefix(end))

    def _system_opening(self) -> str:
        found = self.attempt(("system", SYSTEM), ("user", USER)) or ""
        return found.partition(SYSTEM)[0] if SYSTEM in found else ""


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2]


def _between(text: str, first: str, second: str) -> str:
    return text.partition(first)[2].partition(second)[0]


def _visible(text: str) -> str:
    return text if is_visible(text) else ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _blank(text: str) -> str:
    return "" if text.strip() else text


def _common_end(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    return "".join(letter for letter, _ in same)[::-1]
