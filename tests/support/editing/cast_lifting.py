"""Lift the float32 casts that transformers keeps inside norms, so that agreement in float64 can be seen."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn


class _WideTorch:
    """The torch module, but for ``float32``, which is ``float64``."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def lift_casts(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends, this model's modelling code computes wholly in float64."""
    modelling = sys.modules[type(model).__module__]
    monkeypatch.setattr(modelling, "torch", _WideTorch())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
