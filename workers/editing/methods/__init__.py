"""One file a method: citation, equation, pure function. This is their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from app.domain.errors import UnknownMethod
from workers.editing.methods import alphaedit, memit
from workers.editing.preset import Preset
from workers.editing.types import LayerPrior


@dataclass(frozen=True, slots=True)
class Method:
    """How a residual becomes an update.

    right_factor: (keys (d_in, n), prior, preset) -> (n, d_in), all float64; the update is residual @ right_factor.
    needs_null_space: whether its prior must carry the null-space basis.
    """

    name: str
    right_factor: Callable[[Tensor, LayerPrior, Preset], Tensor]
    needs_null_space: bool = False


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "memit": Method("memit", memit.right_factor),
        "alphaedit": Method("alphaedit", alphaedit.right_factor, needs_null_space=True),
    }
)


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UnknownMethod: there is none.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise UnknownMethod(f"methods are {', '.join(METHODS)}", field="method", value=name) from None
