"""What an edit asks for: facts, and how they are to be written."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.messages import Message, Messages, user_turn
from app.domain.contract.values import Name, Request, Share, Text
from app.domain.hyperparameters import RANGES
from app.domain.prompts import SLOT

Trimmed = Annotated[Text, AfterValidator(lambda given: given.strip() or given)]
"""Without the white space around it. One that has nothing else stays as it is, and is refused as empty."""

Texts = Annotated[tuple[Text, ...], BeforeValidator(lambda given: () if given is None else given)]
"""None, as data sets have it where they have nothing, is an empty list."""


class Fact(Request):
    """One fact to write: the prompt, with the subject in its slot, shall be continued by the object."""

    subject: Trimmed
    object: Trimmed
    relation: Text | None = Field(None, description="Makes the prompt '{} <relation>'.")
    prompt: Text | None = Field(
        None, description="With one {} where the subject stands, or the subject's own text exactly once."
    )
    messages: Messages | None = Field(
        None,
        description="A chat instead of a prompt: the slot or the subject once in all of it. The object begins the "
        "reply, or continues it where an assistant's message comes last.",
    )
    chat: bool = Field(
        False,
        description="The prompt, each paraphrase and each neighbour is a user's turn; the object begins the reply.",
    )
    stop: bool = Field(False, description="The model shall end its turn after the object; the fact holds only then.")
    previous: Trimmed | None = Field(None, description="The object until now, for the record and the report.")
    paraphrases: Texts = Field((), max_length=20, description="Whole prompts, or with one {}.")
    neighbours: Texts = Field((), max_length=20, description="Whole prompts whose answers must not change.")
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Fact:
        if sum(way is not None for way in (self.relation, self.prompt, self.messages)) != 1:
            raise ValueError("give one of relation, prompt and messages")
        return self

    @property
    def template(self) -> str:
        """The prompt as given, or '{} <relation>', or the messages' contents. Not yet checked for its slot."""
        if self.messages is not None:
            return "\n".join(message.content for message in self.messages)
        return self.prompt if self.prompt is not None else f"{SLOT} {self.relation}"

    @property
    def conversation(self) -> tuple[Message, ...] | None:
        """The messages of a fact that is given as chat; None for one that is plain text."""
        return user_turn(self.template) if self.chat and self.messages is None else self.messages


class Verify(Request):
    """Shares that must hold after the edit; below any of them the batch is rejected and nothing changes."""

    facts: Share | None = None
    paraphrases: Share | None = None
    neighbours: Share | None = None


MOST_STEPS = 1000
"""Of a gradient descent that a request asks for."""


def _in_range(name: str, most: int | None = None) -> Any:
    """The bounds of a hyperparameter, as pydantic and the API's schema have them; ``most``: what the service takes."""
    found = RANGES[name]
    over, least = (found.low, None) if found.open else (None, found.low)
    return Field(gt=over, ge=least, le=found.high if most is None else most, allow_inf_nan=False)


class Hyperparameters(Request):
    """Overrides of the preset, by the field names of the published hyperparameter files."""

    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="Critical layers, rising."
    )
    v_num_grad_steps: Annotated[int, _in_range("v_num_grad_steps", MOST_STEPS)] | None = None
    v_lr: Annotated[float, _in_range("v_lr")] | None = None
    v_weight_decay: Annotated[float, _in_range("v_weight_decay")] | None = None
    kl_factor: Annotated[float, _in_range("kl_factor")] | None = None
    clamp_norm_factor: Annotated[float, _in_range("clamp_norm_factor")] | None = None
    mom2_update_weight: Annotated[float, _in_range("mom2_update_weight")] | None = None
    L2: Annotated[float, _in_range("L2")] | None = None
    nullspace_threshold: Annotated[float, _in_range("nullspace_threshold")] | None = None
    rect_share: Annotated[float, _in_range("rect_share")] | None = Field(
        None, description="The part of its entries that RECT applies."
    )
    num_steps: Annotated[int, _in_range("num_steps", MOST_STEPS)] | None = Field(
        None, description="Of FT-L, as the next two."
    )
    lr: Annotated[float, _in_range("lr")] | None = None
    norm_constraint: Annotated[float, _in_range("norm_constraint")] | None = None


class EditBatch(JobRequest):
    """Facts that become one version together, or not at all."""

    kind: ClassVar[JobKind] = JobKind.EDIT

    facts: tuple[Fact, ...] = Field(min_length=1)
    model: Name | None = Field(None, description="May be left out when one model is served.")
    method: Annotated[str, StringConstraints(max_length=40)] | None = None
    plan: Annotated[str, StringConstraints(max_length=40)] | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    strict: bool = Field(False, description="Behave exactly as the published code does.")
    verify: Verify | None = None

    @property
    def named_model(self) -> str | None:
        """``model``."""
        return self.model

    @property
    def named_facts(self) -> int:
        """How many facts are to be written."""
        return len(self.facts)

    def for_model(self, model: str) -> Self:
        """The same batch, with this model as its ``model``."""
        return self.model_copy(update={"model": model})
