"""What an edit asks for: facts, and how they are to be written."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.messages import Message, Messages, user_turn
from app.domain.contract.neighbours import AnyNeighbour
from app.domain.contract.paraphrases import AnyParaphrase
from app.domain.contract.values import Name, NonNegative, Positive, Request, Share, Text
from app.domain.hyperparameters import RANGES
from app.domain.prompts import SLOT

Trimmed = Annotated[Text, AfterValidator(lambda given: given.strip() or given)]
"""Without the white space around it. One that has nothing else stays as it is, and is refused as empty."""

NONE_IS_EMPTY = BeforeValidator(lambda given: () if given is None else given)
"""None, as data sets have it where they have nothing, is an empty list."""

Paraphrases = Annotated[tuple[AnyParaphrase, ...], NONE_IS_EMPTY]
Neighbours = Annotated[tuple[AnyNeighbour, ...], NONE_IS_EMPTY]

Unheld = Literal["drop", "keep", "reject"]
"""What becomes of facts that do not hold: they leave the batch, they stay, or the whole batch goes with them."""


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
    paraphrases: Paraphrases = Field(
        (), max_length=20, description="Whole prompts, or with one {}, that are asked; taught as well, if they say so."
    )
    neighbours: Neighbours = Field(
        (), max_length=20, description="Whole prompts whose answers must not change, alone or with those expected."
    )
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
    def taught(self) -> tuple[int, ...]:
        """Indices of the paraphrases that are taught."""
        return tuple(index for index, each in enumerate(self.paraphrases) if each.teach)

    @property
    def conversation(self) -> tuple[Message, ...] | None:
        """The messages of a fact that is given as chat; None for one that is plain text."""
        return user_turn(self.template) if self.chat and self.messages is None else self.messages


class Verify(Request):
    """What must hold after the edit; beyond any of these bounds the batch is rejected and nothing changes.

    The first four are shares. What it does to other text is told against the version before.
    """

    facts: Share | None = Field(None, description="Of all facts sent: those that are not written do not hold.")
    paraphrases: Share | None = Field(None, description="Of those that are asked and not taught.")
    neighbours: Share | None = Field(None, description="Of neighbours that keep their greedy answer.")
    neighbours_right: Share | None = Field(None, description="Of neighbours whose expected answer stays ahead.")
    kl: NonNegative | None = Field(None, description="At most this KL a token on text that has nothing to do with it.")
    top1: Share | None = Field(None, description="At least this share of next tokens there stays the likeliest.")
    perplexity: Positive | None = Field(None, description="At most this ratio of the perplexity there to that before.")

    @property
    def of_harm(self) -> dict[str, float]:
        """The bounds on what the edit does to other text, by name."""
        named = {"kl": self.kl, "top1": self.top1, "perplexity": self.perplexity}
        return {name: bound for name, bound in named.items() if bound is not None}


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
    early_stop: Annotated[int, _in_range("early_stop", MOST_STEPS)] | None = Field(
        None, description="A fact's target is done once its object was the likeliest everywhere in so many steps."
    )
    norm_anchor: bool | None = Field(
        None, description="Bring what the MLP shall give to the norm that targets have in the unedited model."
    )
    mom2_update_weight: Annotated[float, _in_range("mom2_update_weight")] | None = None
    update_norm_lambda: Annotated[float, _in_range("update_norm_lambda")] | None = Field(
        None, description="Weight of the update's squared norm in the solve. AlphaEdit has L2 for that."
    )
    history: bool | None = Field(
        None,
        description="Whether the solve protects the keys of earlier edits; left out: as the method has it, which all "
        "but RECT do.",
    )
    L2: Annotated[float, _in_range("L2")] | None = None
    share: Annotated[float, _in_range("share")] | None = Field(
        None,
        description="The part of its residual that a median fact shall realise: λ or α follows, layer by layer.",
    )
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
    unheld: Unheld = Field(
        "drop",
        description="Facts that do not hold after the edit are tried again with more effort. Those that still do not "
        "leave the batch (drop), or the whole batch is rejected (reject). keep: nothing is tried again, and all facts "
        "are written, as under strict.",
    )

    propose: bool = Field(
        False,
        description="Do all of it but the last step: the version waits as a proposal, which can be asked, until it is "
        "published or dropped.",
    )

    @property
    def policy(self) -> Unheld:
        """``unheld``; under ``strict``, which does as the published code does, all facts are kept."""
        return "keep" if self.strict else self.unheld

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
