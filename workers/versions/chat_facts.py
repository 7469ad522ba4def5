"""A fact's texts as the model is asked them: as they are, or, of a fact in chat, in the model's own template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import Fact, Message, Neighbour, Paraphrase, user_turn
from app.domain.errors import AmbiguousSubject, PalimpsestError, SlotCount
from app.domain.prompts import SLOT, is_visible, with_slot
from workers.editing.text.model_text import ModelText


@dataclass(frozen=True, slots=True)
class Wording:
    """What is written and what is asked beside it; the prompt and each paraphrase that is taught have one slot."""

    prompt: str
    paraphrases: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]


def wording(sent: Fact, words: ModelText) -> Wording:
    """The fact's prompt, paraphrases and neighbours. In chat the latter two take the place of the last user's message.

    Raises:
        RequestError: the model has no chat template or it refuses the messages, or the subject is not in one place of
            them; the field says of which text.
    """
    messages, subject = sent.conversation, sent.subject.strip()
    if messages is None:
        prompt = with_slot(subject, sent.template)
        texts = (
            with_slot(subject, each.prompt, f"paraphrases.{index}.prompt") if each.teach else each.prompt
            for index, each in enumerate(sent.paraphrases)
        )
        return Wording(prompt, tuple(texts), sent.neighbours)
    asked = _before_last_question(messages)
    field = "chat" if sent.messages is None else "messages"
    return Wording(
        _rendered(words, _slotted(messages, subject, field), field, slots=1),
        tuple(_paraphrase(words, asked, each, subject, index) for index, each in enumerate(sent.paraphrases)),
        tuple(
            each.model_copy(
                update={"prompt": _rendered(words, (*asked, *user_turn(each.prompt)), f"neighbours.{index}")}
            )
            for index, each in enumerate(sent.neighbours)
        ),
    )


def _paraphrase(words: ModelText, asked: Sequence[Message], each: Paraphrase, subject: str, index: int) -> str:
    """A paraphrase in chat, behind the messages ``asked``; with exactly one slot if it is taught."""
    field, turns = f"paraphrases.{index}", (*asked, *user_turn(each.prompt))
    if not each.teach:
        return _rendered(words, turns, field)
    return _rendered(words, _slotted(turns, subject, f"{field}.prompt"), f"{field}.prompt", slots=1)


def _before_last_question(messages: Sequence[Message]) -> tuple[Message, ...]:
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=0)
    return tuple(messages[:last])


def _slotted(messages: Sequence[Message], subject: str, field: str) -> tuple[Message, ...]:
    """The messages with exactly one slot over all their contents. ``field``: what the messages were made of."""
    marked = [index for index, message in enumerate(messages) if SLOT in message.content]
    marked = marked or [index for index, message in enumerate(messages) if subject in message.content]
    if len(marked) > 1 and is_visible(subject):
        detail = f"{len(marked)} of the messages have a slot, or the subject; mark one place of it with {{}}"
        raise AmbiguousSubject(detail, field=field)
    chosen = marked[0] if marked else len(messages) - 1
    at = {"chat": "prompt", "messages": f"messages.{chosen}.content"}.get(field, field)
    content = with_slot(subject, messages[chosen].content, at)
    slotted = messages[chosen].model_copy(update={"content": content})
    return (*messages[:chosen], slotted, *messages[chosen + 1 :])


def _rendered(words: ModelText, messages: Sequence[Message], field: str, slots: int | None = None) -> str:
    try:
        text = words.chat.render([message.model_dump() for message in messages])
    except PalimpsestError as error:
        raise error.at(field) from None
    found = text.count(SLOT)
    if slots is not None and found != slots:
        detail = f"in the model's chat template the messages have {found} slots; one marks the subject"
        raise SlotCount(detail, field=field)
    return text
