"""One text that is being written, and the order that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from app.domain.contract import Begun, Broken, ChosenToken, Continue, LikelyToken, Piece
from app.domain.errors import RequestError
from workers.editing.model.anatomy import window
from workers.editing.text.model_text import ModelText
from workers.questions.decoding import end_tokens
from workers.questions.prompt_tokens import prompt_ids, rendered
from workers.questions.rows import Live
from workers.questions.sampling import draws
from workers.questions.texts.spelling import Spelling, StopStrings

Tell = Callable[[Piece | Broken], None]
"""Takes an event and returns at once; any thread may call it."""


class Text:
    """What has been written of one text, and what of it has been told.

    room: how many tokens may be written at most. finished: it has come to its end.
    """

    def __init__(self, order: Order, index: int, ids: list[int], numbers: Tensor) -> None:
        """``numbers``: to sample with, (room,), float64, in [0, 1)."""
        self.order, self.index, self.ids, self.numbers = order, index, ids, numbers
        self.room = len(numbers)
        self.new: list[int] = []
        self.finished = False
        self._spelling = Spelling(order.live.tokenizer, ids)
        self._stops = StopStrings(order.request.stop)
        self._written = self._told = 0  # characters
        self._untold: list[ChosenToken] = []

    @property
    def goes_on(self) -> bool:
        """Whether more of it is wanted."""
        return not (self.finished or self.order.cancelled)

    @property
    def number(self) -> float:
        """The random number that the next token is drawn with."""
        return float(self.numbers[len(self.new)])

    def take(self, token: int, likely: Sequence[tuple[int, float]] | None) -> None:
        """Write one more token, or end, and tell what can be told.

        likely: where log probabilities are asked for: the token's own, then those of the likeliest ones.
        """
        if token in self.order.ends:
            self._end()
            return
        self.new.append(token)
        if likely is not None:
            own, *top = (self._named(*each) for each in likely)
            self._untold.append(ChosenToken(**own.model_dump(), offset=self._written, top=tuple(top)))
        more = self._spelling.add(token)
        self._written += len(more)
        told, stopped = self._stops.add(more)
        if stopped:
            self._tell(told, stopped=True)
        elif len(self.new) == self.room:
            self._end(told)
        elif told:
            self._tell(told)

    def _end(self, told: str = "") -> None:
        """Tell the last of it: ``told``, and all that was held back unless that has a stop string in it."""
        more, stopped = self._stops.add(self._spelling.rest())
        full = len(self.new) == self.room and not stopped
        self._tell(told + more + ("" if stopped else self._stops.rest()), stopped=stopped, full=full, ended=True)

    def _tell(self, text: str, *, stopped: bool = False, full: bool = False, ended: bool = False) -> None:
        self._told += len(text)
        self.finished = stopped or ended
        ready = [token for token in self._untold if token.offset < self._told or (ended and not stopped)]
        self._untold = self._untold[len(ready) :]
        finish = ("length" if full else "stop") if self.finished else None
        new = len(self.new) if self.finished else 0
        self.order.tell(Piece(index=self.index, text=text, tokens=tuple(ready), finish=finish, new_tokens=new))

    def _named(self, token: int, logprob: float) -> LikelyToken:
        return LikelyToken(token=str(self.order.live.tokenizer.decode([token])), logprob=logprob)


@dataclass(slots=True)
class Order:
    """The texts of one request, all from one version. Who asked may cancel it at any time.

    ends: ids that end a text. begun: its first event.
    """

    request: Continue
    live: Live
    tell: Tell
    ends: frozenset[int]
    begun: Begun
    cancelled: bool = False
    texts: list[Text] = field(default_factory=list)

    @classmethod
    def of(cls, live: Live, request: Continue, tell: Tell) -> Order:
        """Tokenise the prompts, and draw the numbers that tokens are sampled with.

        Raises:
            EmptyText, PromptTooLong, RequestError: the field says where.
        """
        vocabulary = int(live.model.config.get_text_config().vocab_size)
        if (most := max(request.logit_bias, default=0)) >= vocabulary:
            raise RequestError(f"the model has tokens 0 to {vocabulary - 1}", field="logit_bias", value=most)
        words, limit = ModelText.of(live.tokenizer), window(live.model)
        rows = [prompt_ids(words, text, limit, field) for text, field in _prompts(words, request)]
        ends = set(end_tokens(live.model, live.tokenizer))
        if request.messages and (end := words.turn_end(rendered=True)) is not None:
            ends.add(end)
        begun = Begun(version=live.version, prompt_tokens=tuple(len(row) for row in rows))
        order = cls(request, live, tell, frozenset(ends), begun)
        for ids in rows:
            room = min(request.max_new_tokens or limit, limit + 1 - len(ids))  # the last new token is never fed
            for numbers in draws(request.seed, request.n, room):
                order.texts.append(Text(order, len(order.texts), ids, numbers))
        return order

    @property
    def tokens(self) -> int:
        """How many tokens its texts may come to, prompts included."""
        return sum(len(text.ids) + text.room for text in self.texts)


def _prompts(words: ModelText, request: Continue) -> Iterator[tuple[str, str]]:
    """Each text to be continued, and the field that it comes from."""
    if request.messages:
        yield rendered(words, request.messages, "messages"), "messages"
    for index, text in enumerate(request.prompts or ()):
        yield text, f"prompts.{index}"
