"""Text as token ids, the same for facts, contexts and questions.

A text is *plain*, and then names of special tokens in it are text like any other; or it is *rendered*, written in the
model's own chat template, and then they are what they name. Which of the two is told by the text alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError
from workers.editing.text.chat_template import ChatTemplate

SPLITTING = threading.Lock()
"""Held while a text becomes tokens: whether names of special tokens are text is a switch of the tokenizer, which
threads share.
"""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, and of each the characters that it covers: (first, last + 1); none for one that was put before."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    def __add__(self, other: Encoded) -> Encoded:
        return Encoded(self.ids + other.ids, self.offsets + other.offsets)

    def part(self, start: int, stop: int | None = None, shift: int = 0) -> Encoded:
        """Some of the tokens, ``shift`` characters further on."""
        return Encoded(self.ids[start:stop], tuple((a + shift, b + shift) for a, b in self.offsets[start:stop]))


@dataclass(frozen=True, slots=True)
class ModelText:
    """How one model reads text.

    specials: the names of its special tokens, with their ids.
    begin: ids that its tokenizer puts before a text by itself.
    """

    tokenizer: PreTrainedTokenizerFast
    chat: ChatTemplate
    specials: dict[str, int]
    begin: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> ModelText:
        """Look at a tokenizer; quick enough to be done anew for every batch and question."""
        specials = {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        with SPLITTING:
            found = tokenizer("a", return_special_tokens_mask=True)
        own = found["special_tokens_mask"].index(0) if 0 in found["special_tokens_mask"] else 0
        return cls(tokenizer, ChatTemplate.of(tokenizer), specials, tuple(found["input_ids"][:own]))

    @property
    def bos(self) -> str:
        """The token that its tokenizer puts before every plain text; "" for none."""
        token = self.tokenizer.bos_token
        return str(token) if token and self.tokenizer.bos_token_id in self.begin else ""

    def encode(self, text: str) -> Encoded:
        """Tokens of a whole prompt; one BOS where the model wants one, and no end token.

        Raises:
            RequestError: the text cannot be encoded (half of a surrogate pair).
        """
        return self._rendered(text) if self.chat.recognised(text) else self._plain(text)

    def within(self, left: str, text: str, right: str) -> Encoded:
        """Tokens of a prompt in a context; offsets count from the context's beginning.

        In a rendered context a plain prompt stays plain: only the context's special tokens are what they name.

        Raises:
            RequestError: as ``encode`` says.
        """
        rendered = self.chat.recognised(left) or self.chat.recognised(right)
        if rendered and not self.chat.recognised(text) and self._names_special(text):
            return self._around(left, text, right)
        whole = left + text + right
        return self._rendered(whole) if rendered or self.chat.recognised(text) else self._plain(whole)

    def continued(self, prompt: str, more: str) -> Encoded:
        """Tokens of a prompt with more text behind it, which is plain whatever the prompt is.

        Raises:
            RequestError: as ``encode`` says.
        """
        if not self.chat.recognised(prompt):
            return self._plain(prompt + more)
        return self._around(prompt, more, "") if self._names_special(more) else self._rendered(prompt + more)

    def literal(self, text: str) -> tuple[int, ...]:
        """Ids of a piece of plain text, with nothing put before it."""
        return self._tokens(text, begin=False, split=self._names_special(text)).ids

    def turn_end(self, *, rendered: bool) -> int | None:
        """Id of the token with which the model ends a turn of chat, or a plain text; None where it has none."""
        if rendered:
            named = (token for name, token in self.specials.items() if self.chat.end.lstrip().startswith(name))
            found = next(named, None)
            if found is not None:
                return found
        end = self.tokenizer.eos_token_id
        return end if isinstance(end, int) else None

    def _plain(self, text: str) -> Encoded:
        skipped = 0
        while self.bos and text.startswith(self.bos, skipped):
            skipped += len(self.bos)  # the tokenizer puts its own there
        rest = text[skipped:]
        return self._tokens(rest, begin=True, split=self._names_special(rest)).part(0, shift=skipped)

    def _rendered(self, text: str) -> Encoded:
        bos, skipped = str(self.tokenizer.bos_token or ""), 0
        while bos and text.startswith(bos + bos, skipped):
            skipped += len(bos)
        found = self._tokens(text[skipped:], begin=False, split=False).part(0, shift=skipped)
        if self.bos and self.chat.begins and not text.startswith(bos):
            return Encoded(self.begin, ((0, 0),) * len(self.begin)) + found
        return found

    def _around(self, left: str, text: str, right: str) -> Encoded:
        """``within`` a rendered context, of a text that names special tokens: cut at the context's own ones."""
        before, after = self._rendered(left), self._tokens(right, begin=False, split=False)
        named = set(self.specials.values())
        head = max((i + 1 for i, token in enumerate(before.ids) if token in named), default=0)
        tail = next((i for i, token in enumerate(after.ids) if token in named), len(after.ids))
        start = before.offsets[head - 1][1] if head else 0
        stop = after.offsets[tail][0] if tail < len(after.ids) else len(right)
        middle = self._tokens(left[start:] + text + right[:stop], begin=False, split=True)
        return before.part(0, head) + middle.part(0, shift=start) + after.part(tail, shift=len(left) + len(text))

    def _names_special(self, text: str) -> bool:
        return any(name in text for name in self.specials)

    def _tokens(self, text: str, *, begin: bool, split: bool) -> Encoded:
        """begin: put the tokenizer's own special tokens before it. split: names of special tokens are text."""
        with SPLITTING:
            found = self.tokenizer(
                encodable(text),
                add_special_tokens=begin,
                split_special_tokens=split,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
            )
        ids, mask = found["input_ids"], found["special_tokens_mask"]
        count = len(ids)
        while begin and count > len(self.begin) and mask[count - 1]:
            count -= 1  # some tokenizers end every text
        return Encoded(tuple(ids[:count]), tuple(map(tuple, found["offset_mapping"][:count])))


def encodable(text: str) -> str:
    """The text, if it can be encoded: JSON can smuggle in half of a surrogate pair.

    Raises:
        RequestError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the text has a lone surrogate", field="prompt", value=repr(text[error.start])) from None
    return text
