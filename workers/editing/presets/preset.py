"""Hyperparameters of an edit, and the files they are read from: published ones (JSON, YAML), or ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from app.domain.errors import InvalidHyperparameter
from app.domain.hyperparameters import COUNT, RANGES, Range

PUBLISHED_METHODS = {
    "memit": "memit",
    "memit_seq": "memit",
    "memit_rect": "rect",
    "rect": "rect",
    "memit_prune": "prune",
    "prune": "prune",
    "pmet": "pmet",
    "encore": "memit",
    "alphaedit": "alphaedit",
    "rome": "rome",
    "ft": "ft-l",
    "ft-l": "ft-l",
}
"""Our method of each published ``alg_name``, in small letters and without ``_BLUE``."""

SUPPORTED = {"fact_token": "subject_last", "weight_decay": 0, "nll_loss_factor": 1}
"""Published fields that change what is computed and that ``Preset`` lacks, each with the only value supported."""


RIDGES = {"alphaedit": "L2"}
"""The field of a method's ridge, where it is not ``mom2_update_weight``."""

OPTIONAL = frozenset({"share", "history", "early_stop"})
"""Fields that may be None."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What an edit is computed with, by the field names of the published files.

    layers: critical layers, rising; a plan chooses among them.
    v_*: the optimisation of targets (steps, learning rate, weight decay). clamp_norm_factor: bound of ‖δ‖ / ‖h₀‖.
    early_stop: a descent ends at the so manieth step in which the fact's object is the likeliest in every context
        (ENCORE's most-probable early stopping, 2502.01636; ``-prob_cutoff`` in its files). None: by its loss alone.
    norm_anchor: whether values are brought to the norm that they have on the unedited model (``anchors.py``).
    mom2_update_weight: λ, the weight of C. mom2_adjustment: whether ROME measures by C, or as if C were I.
    update_norm_lambda: weight of ‖Δ‖² in the objective of MEMIT's solve (ENCORE, 2502.01636). AlphaEdit's is ``L2``.
    history: whether K_p stands in the solve (2605.26670); None: as the method has it. ROME and FT-L know no K_p.
    L2: α, AlphaEdit's ridge. nullspace_threshold: eigenvalue of C below which a direction counts as free.
    share: the part of its residual that a solve shall realise for a fact of median leverage; λ or α follows from it and
        the model's C, layer by layer, in place of the number (``shares.py``). None: the number holds.
    rect_share: the part of its entries that RECT applies (0.4 in the released code, where it has no name).
    num_steps, lr, norm_constraint: FT-L's steps, learning rate, and bound of each entry's change.
    max_batch_tokens: tokens in memory at once; changes no number.
    """

    layers: tuple[int, ...]
    method: str = "memit"
    plan: str = "boundary"
    v_num_grad_steps: int = 25
    v_lr: float = 0.5
    v_weight_decay: float = 0.5
    kl_factor: float = 0.0625
    clamp_norm_factor: float = 0.75
    early_stop: int | None = None
    norm_anchor: bool = False
    mom2_update_weight: float = 15000.0
    mom2_adjustment: bool = True
    update_norm_lambda: float = 0.0
    history: bool | None = None
    L2: float = 10.0
    share: float | None = None
    nullspace_threshold: float = 2e-2
    rect_share: float = 0.4
    num_steps: int = 25
    lr: float = 5e-4
    norm_constraint: float = 5e-4
    max_batch_tokens: int = 16384

    def __post_init__(self) -> None:
        """Raise InvalidHyperparameter for a value that is not finite or out of its range."""
        for name, allowed in RANGES.items():
            self._require(name, allowed)
        self._require("max_batch_tokens", COUNT)
        if any(layer < 0 for layer in self.layers):
            raise InvalidHyperparameter("layers count from 0", field="layers", value=list(self.layers))
        if not self.layers or any(b <= a for a, b in zip(self.layers, self.layers[1:], strict=False)):
            raise InvalidHyperparameter("critical layers must rise", field="layers", value=list(self.layers))

    def _require(self, name: str, allowed: Range) -> None:
        value = getattr(self, name)
        if value is None and name in OPTIONAL:
            return
        if not allowed.holds(value):
            raise InvalidHyperparameter(f"{name} is out of its range", field=name, value=value)

    @property
    def ridge_name(self) -> str:
        """The field that has the ridge of the method's solves."""
        return RIDGES.get(self.method, "mom2_update_weight")

    def by_numbers(self) -> Preset:
        """The same without a share: the published numbers hold."""
        return replace(self, share=None)

    def as_published(self) -> Preset:
        """The same by numbers, with K_p in the solve or not as the method's own code has it."""
        return replace(self.by_numbers(), history=None)

    def with_overrides(self, overrides: Mapping[str, Any]) -> Preset:
        """The same preset with other values. The method's own ridge, where it is named, goes before a share.

        Raises:
            InvalidHyperparameter: no such field, or a value of the wrong type or range.
        """
        known = {item.name: item.type for item in fields(self)}
        for name in overrides:
            if name not in known:
                raise InvalidHyperparameter(f"there is no hyperparameter {name!r}", field=name, value=overrides[name])
        made = replace(self, **{name: _coerced(name, str(known[name]), overrides[name]) for name in overrides})
        return made.by_numbers() if made.ridge_name in overrides else made

    def as_dict(self) -> dict[str, Any]:
        """All values by name, for reports."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def _coerced(name: str, kind: str, value: Any) -> Any:
    """The value in the field's type, if it can mean nothing else: YAML reads ``5e-1`` as a string.

    Raises:
        InvalidHyperparameter: it cannot, or might.
    """
    if value is None and name in OPTIONAL:
        return None
    kind = kind.removesuffix(" | None")
    if kind.startswith("tuple"):
        if isinstance(value, list | tuple) and all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        ):
            return tuple(value)
    elif kind in ("str", "bool"):
        if type(value).__name__ == kind:
            return value
    elif not isinstance(value, bool):
        try:
            if kind.startswith("float") or int(value) == float(value):
                return int(value) if kind == "int" else float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidHyperparameter(f"{name} must be of type {kind}", field=name, value=value)


def read_preset(path: Path) -> Preset:
    """Read one hyperparameter file: as MEMIT, AlphaEdit, BLUE and EasyEdit publish them, or ours.

    All other fields are ignored, such as names of modules, which are found by structure here. A published file names
    its method as ``alg_name``; ours as ``method``, with ``plan`` beside it.

    Raises:
        InvalidHyperparameter: not a mapping, no layers, an unknown method, or a setting that is not supported.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))  # YAML contains JSON
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidHyperparameter(f"not YAML or JSON: {error}", field="preset", value=path.name) from None
    if not isinstance(data, dict) or "layers" not in data:
        raise InvalidHyperparameter("a hyperparameter file is a mapping with 'layers'", field="preset", value=path.name)
    for name, only in SUPPORTED.items():
        if data.get(name, only) != only:
            raise InvalidHyperparameter(f"only {only} is supported", field=name, value=data[name])
    known = {item.name for item in fields(Preset)}
    values = {name: value for name, value in data.items() if name in known and value is not None}
    if "method" not in values and "alg_name" in data:
        values["method"] = _published_method(str(data["alg_name"]))
    if "early_stop" not in values and data.get("prob_cutoff"):
        values["early_stop"] = _early_stop(data["prob_cutoff"])
    layers = _coerced("layers", "tuple", data["layers"])
    return Preset(layers).with_overrides({**values, "layers": layers})


def _published_method(alg_name: str) -> str:
    name = alg_name.lower().replace("_blue", "").replace("-blue", "")
    if name not in PUBLISHED_METHODS:
        raise InvalidHyperparameter(f"no method here answers to {alg_name!r}", field="alg_name", value=alg_name)
    return PUBLISHED_METHODS[name]


def _early_stop(prob_cutoff: Any) -> int:
    """Of ENCORE's files, where a negative number counts steps, and a positive one is a probability to be reached."""
    steps = _coerced("prob_cutoff", "int", prob_cutoff)
    if steps >= 0:
        raise InvalidHyperparameter("only a count of steps is supported", field="prob_cutoff", value=prob_cutoff)
    return -int(steps)
