"""Accelerators that are not there: tensors of the CPU that are said to lie on ``cuda:0``, ``cuda:1``, ...

Within ``PretendedDevices`` a tensor says where it was put, ``to`` moves it there, and an operation whose tensors lie
apart raises as CUDA's do. Everything is computed, on the CPU, so that an edit's numbers can be compared to the bit. A
device is known by a tensor's storage, which its views, parameters and ``.data`` share. All of this holds in the thread
that entered it, and in its backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU = torch.device("cpu")

CARRYING = (torch.ops.aten.copy_.default,)
"""Operations that take tensors of several devices; what they give lies where the first one does."""

BY_INDICES = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)
"""Operations whose second argument, indices, may lie on the CPU."""


class PretendedDevices:
    """While it is entered, devices of the type ``cuda`` can be named, and tensors put on them."""

    def __init__(self) -> None:
        self._where: dict[int, tuple[StorageWeakRef, torch.device]] = {}
        self._modes: tuple[TorchDispatchMode, TorchFunctionMode] = (_Refusing(self), _Naming(self))
        self.moved = 0

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)  # type: ignore[no-untyped-call]

    def of(self, tensor: Tensor) -> torch.device:
        """Where a tensor is said to lie."""
        if tensor.is_meta:
            return torch.device("meta")
        ref, device = self._where.get(tensor.untyped_storage()._cdata, (None, CPU))
        return CPU if ref is None or ref.expired() else device  # type: ignore[no-untyped-call]

    def put(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Say of a tensor's storage that it lies there."""
        storage = tensor.untyped_storage()
        if device == CPU:
            self._where.pop(storage._cdata, None)
        else:
            self._where[storage._cdata] = (StorageWeakRef(storage), device)  # type: ignore[no-untyped-call]
        return tensor

    def moved_to(self, tensor: Tensor, device: torch.device) -> Tensor:
        """A copy on another device; its gradient comes back to where the tensor lies."""
        self.moved += 1
        moved: Tensor = _Moving.apply(tensor, self, device)  # type: ignore[no-untyped-call]
        return moved


class _Moving(torch.autograd.Function):
    """A copy on another device."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, devices: PretendedDevices, device: torch.device) -> Tensor:
        ctx.devices, ctx.source = devices, devices.of(tensor)
        return devices.put(tensor.detach().clone(), device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.devices.put(gradients[0].clone(), ctx.source), None, None


class _Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation, also of a backward pass: refused if its tensors lie apart; what it gives lies with them."""

    def __init__(self, devices: PretendedDevices) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._devices = devices

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        device = self._shared(func, args, given)
        known = {tensor.untyped_storage()._cdata for tensor in given if not tensor.is_meta}
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and not tensor.is_meta and tensor.untyped_storage()._cdata not in known:
                self._devices.put(tensor, device)
        return found

    def _shared(self, func: Any, args: tuple[Any, ...], given: list[Tensor]) -> torch.device:
        """The device of all that is given, but for what CUDA's operations take from the CPU as well."""
        if not given:
            return CPU
        if func in CARRYING:
            return self._devices.of(given[0])
        if func in BY_INDICES:
            indices = {id(each) for each in args[1] if each is not None and self._devices.of(each) == CPU}
            given = [tensor for tensor in given if id(tensor) not in indices]
        found = {self._devices.of(tensor) for tensor in given}
        if len(found) > 1:
            found -= {CPU} if all(each.dim() == 0 for each in given if self._devices.of(each) == CPU) else set()
        if len(found) > 1:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {found} in {func}")
        return next(iter(found))


class _Naming(TorchFunctionMode):
    """What names devices: tensors say theirs, are moved and made there."""

    def __init__(self, devices: PretendedDevices) -> None:
        super().__init__()
        self._devices = devices
        self._special: dict[Any, Callable[..., Any]] = {
            torch.Tensor.device.__get__: self._devices.of,
            torch.Tensor.is_cuda.__get__: lambda tensor: self._devices.of(tensor).type == "cuda",  # type: ignore[attr-defined]
            torch.Tensor.to: self._to,
            torch.Tensor.cpu: lambda tensor: self._to(tensor, CPU),
            torch.Tensor.numpy: self._numpy,
        }

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func in self._special:
            return self._special[func](*args, **named)
        if func is torch.Tensor.new_tensor:
            named.setdefault("device", self._devices.of(args[0]))
        if (asked := named.get("device")) is None or torch.device(asked).type == "meta":
            return func(*args, **(kwargs or {}))
        found = func(*args, **{**named, "device": CPU})
        return self._devices.put(found, _device(asked)) if isinstance(found, Tensor) else found

    def _to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``Tensor.to`` of all its forms: whether it may run beside other work does not matter here."""
        target, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None)
        for each in args:
            if isinstance(each, Tensor):
                target, dtype = self._devices.of(each), each.dtype
            elif isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, torch.device | str):
                target = each
        found: Tensor = tensor.to(dtype or tensor.dtype, **kwargs)
        if target is None or _device(target) == self._devices.of(tensor):
            return found
        return self._devices.moved_to(found, _device(target))

    def _numpy(self, tensor: Tensor, **kwargs: Any) -> Any:
        if self._devices.of(tensor) != CPU:
            raise TypeError("can't convert cuda tensor to numpy")
        return tensor.numpy(**kwargs)


def _device(asked: torch.device | str) -> torch.device:
    """As torch understands it: ``cuda`` is its current device, the first."""
    device, first = torch.device(asked), torch.device("cuda", 0)
    return first if str(device) == first.type else device
