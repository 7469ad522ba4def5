"""What a version adds to the base model's weights, as two factors a layer, from the log alone: no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from app.domain.errors import CompactedVersion, NotFound
from app.domain.log.reader import LogReader
from workers.editing.model.updates import LowRank, on_cpu
from workers.exports.low_rank import NEGLIGIBLE
from workers.versions.replay import counted
from workers.versions.update_files import UPDATE_FILE, unpack


@dataclass(frozen=True, slots=True)
class Factors:
    """One layer's change as left (d_out, r) and right (r, d_in), float32, in ``nn.Linear`` orientation.

    needed: the rank that the change has; r is smaller where that was cut.
    left_out: Frobenius norm of what they leave out, relative to the change; 0 of no change.
    """

    left: Tensor
    right: Tensor
    needed: int
    left_out: float

    @property
    def rank(self) -> int:
        """r, which may be 0."""
        return len(self.right)

    def padded(self, rank: int) -> Factors:
        """The same product with factors of a larger rank, filled up with zeros."""
        more = rank - self.rank
        left, right = functional.pad(self.left, (0, more)), functional.pad(self.right, (0, 0, 0, more))
        return Factors(left.contiguous(), right.contiguous(), self.needed, self.left_out)


@dataclass(slots=True)
class _Sum:
    """One layer's updates, summed up: products side by side, and what has no factors."""

    products: list[LowRank] = field(default_factory=list)
    dense: Tensor | None = None
    correction: LowRank | None = None


Changes = Callable[[int], dict[int, Tensor]]
"""By layer, what a version adds to the base model's weights, (d_out, d_in), float64."""


def factors_of(
    log: LogReader, version: int, most_rank: int | None, compacted: Changes | None = None
) -> dict[int, Factors]:
    """By layer, the best factors of the version's change, of rank ``most_rank`` at most; a layer's own rank each.

    A version that changes nothing has factors of rank 0 at the layers of an earlier one.

    Args:
        compacted: asked for a version whose updates were removed; None: there is nobody to ask.

    Raises:
        UnknownVersion, CompactedVersion, DamagedVersion: the version cannot be put together. What ``compacted`` raises.
    """
    try:
        sums = _summed(log, version)
    except CompactedVersion:
        if compacted is None:
            raise
        found = {layer: best_of(change, most_rank) for layer, change in compacted(version).items()}
        return found or _nothing(log, version)
    return {layer: _best(each, most_rank) for layer, each in sums.items()} or _nothing(log, version)


def _summed(log: LogReader, version: int) -> dict[int, _Sum]:
    sums: dict[int, _Sum] = {}
    for term in log.history(version).terms(version):
        for update in counted(log, term, on_cpu)[0]:
            found = sums.setdefault(update.layer, _Sum())
            if update.mask is None:
                found.products.append(LowRank(update.left, update.right))
            else:
                added = update.dense.double()
                found.dense = added if found.dense is None else found.dense + added
            found.correction = found.correction if update.correction is None else update.correction
    return sums


def of_one_rank(factors: Mapping[int, Factors]) -> dict[int, Factors]:
    """The same factors, all of the largest rank, 1 at least: an adapter has one rank for all layers."""
    rank = max(1, *(each.rank for each in factors.values()))
    return {layer: each.padded(rank) for layer, each in factors.items()}


def _best(found: _Sum, most_rank: int | None) -> Factors:
    products = [*found.products, *([] if found.correction is None else [found.correction])]
    if found.dense is None:
        return best_of_product(_side_by_side(products), most_rank)
    return best_of(found.dense + sum(part.left.double() @ part.right.double() for part in products), most_rank)


def best_of_product(product: LowRank, most_rank: int | None) -> Factors:
    """``best_of`` of a product, in time that grows with its rank: by a QR decomposition of each factor."""
    left, right = product.left.double(), product.right.double()
    if product.rank >= min(len(left), right.shape[1]):
        return best_of(left @ right, most_rank)
    before, inner = torch.linalg.qr(left)
    after, outer = torch.linalg.qr(right.T)
    turned, values, back = torch.linalg.svd(inner @ outer.T, full_matrices=False)
    return _cut(before @ turned, values, back @ after.T, most_rank)


def best_of(change: Tensor, most_rank: int | None) -> Factors:
    """A matrix's best factors of a rank (Eckart and Young 1936), in float64; those below rounding are left out."""
    left, values, right = torch.linalg.svd(change.double(), full_matrices=False)
    return _cut(left, values, right, most_rank)


def _cut(left: Tensor, values: Tensor, right: Tensor, most_rank: int | None) -> Factors:
    """The largest singular values, shared out evenly between the factors, so that half precision loses neither."""
    tails = functional.pad(values.flip(0).square().cumsum(0).flip(0).sqrt(), (0, 1))  # what each rank leaves out
    needed = int((tails > NEGLIGIBLE * tails[0]).sum())
    rank = needed if most_rank is None else min(needed, most_rank)
    roots = values[:rank].sqrt()
    left_out = float(tails[rank] / tails[0]) if needed else 0.0
    kept = (left[:, :rank] * roots).float(), (roots.unsqueeze(1) * right[:rank]).float()
    return Factors(kept[0].contiguous(), kept[1].contiguous(), needed, left_out)


def _side_by_side(parts: Iterable[LowRank]) -> LowRank:
    found = list(parts)
    return LowRank(
        torch.cat([part.left.double() for part in found], dim=1),
        torch.cat([part.right.double() for part in found]),
    )


def _nothing(log: LogReader, version: int) -> dict[int, Factors]:
    """No change, at the layers that an earlier version has tensors for, which say how wide the layers are."""
    for earlier in range(version, 0, -1):
        try:
            updates = unpack(log.read(earlier, UPDATE_FILE), on_cpu)
        except (NotFound, CompactedVersion):
            continue
        none = {
            each.layer: Factors(
                each.left.new_zeros(len(each.left), 0), each.right.new_zeros(0, each.right.shape[1]), 0, 0.0
            )
            for each in updates
        }
        if none:
            return none
    raise CompactedVersion(f"version {version} changes nothing, and no tensors say how wide a layer is", value=version)
