"""K_p as a value: what it keeps for solves, hands on, folds away and leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.editing.layers_with_keys import METHODS, Layer, normal, preset, second_moment
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import FOLD_SHARE, SPACES, PreviousKeys
from workers.editing.methods import memit
from workers.editing.types import LayerPrior


class TestFolding:
    WIDTH = 16
    MANY = int(FOLD_SHARE * WIDTH) + 1

    @pytest.mark.parametrize("method", METHODS)
    def test_it_changes_no_solution(self, method: str) -> None:
        """Before it, at it, with keys after it, with those taken out again, and after folded ones are taken out."""
        generator = torch.Generator().manual_seed(9)
        layer = Layer(second_moment(generator, self.WIDTH, 1e3))
        for columns in ((), (), (self.MANY + 1,), (0, 3), ()):
            layer.take_out(columns)
            for count in (self.MANY // 2, self.MANY // 2, 1, 2):
                layer.append(normal(generator, self.WIDTH, count))
                layer.check(method, normal(generator, self.WIDTH, 3), preset(100.0))

    def test_it_happens_once_and_again_when_a_folded_key_leaves(self) -> None:
        made: list[int] = []
        generator = torch.Generator().manual_seed(10)
        moment = second_moment(generator, self.WIDTH, 10.0)

        def load() -> Tensor:
            made.append(1)
            return moment

        base, keys = LayerBase(load), normal(generator, self.WIDTH, 2)

        def loads(previous: PreviousKeys) -> int:
            memit.right_factor(keys, LayerPrior(base, previous), preset(100.0))
            return len(made)

        few = PreviousKeys.empty(self.WIDTH).append(normal(generator, self.WIDTH, self.MANY - 1))
        many = few.append(keys)
        assert [loads(few), loads(few), loads(many), loads(many), loads(many.append(keys))] == [1, 1, 2, 2, 2]
        assert loads(many.append(keys).without([self.MANY + 1])) == 2
        assert loads(many.append(keys).without([0])) == 3


class TestValues:
    def test_an_older_one_stays_as_it_was(self) -> None:
        generator = torch.Generator().manual_seed(11)
        moment = second_moment(generator, 40, 100.0)
        base, batch = LayerBase.of(moment), normal(generator, 40, 2)
        first, second, third = (normal(generator, 40, count) for count in (11, 2, 2))

        def solved(previous: PreviousKeys) -> Tensor:
            return memit.right_factor(batch, LayerPrior(base, previous), preset(10.0))

        def alone(*blocks: Tensor) -> Tensor:
            return solved(PreviousKeys.empty(40).append(torch.cat(blocks, dim=1)))

        oldest = PreviousKeys.empty(40).append(first[:, :10])
        solved(oldest)
        older = oldest.append(first[:, 10:])
        solved(older)  # now there is room left in all that it keeps
        newer = {
            (first, second): older.append(second),
            (first, third): older.append(third),
            (first, second, third): older.append(second).append(third),
            (first[:, 1:], third[:, 1:]): older.append(third).without([0, 11]),
        }
        for _ in range(2):
            for blocks, previous in [*newer.items(), ((first,), older), ((first[:, :10],), oldest)]:
                assert torch.equal(previous.keys, torch.cat(blocks, dim=1))
                assert torch.allclose(solved(previous), alone(*blocks), rtol=1e-9)

    def test_appending_seldom_copies_what_is_there(self) -> None:
        previous, places = PreviousKeys.empty(4), set()
        for _ in range(1000):
            previous = previous.append(torch.ones(4, 1, dtype=torch.float64))
            places.add(previous.keys.data_ptr())
        assert previous.count == 1000
        assert len(places) <= 20

    def test_more_thresholds_than_are_kept_give_the_dense_solution_each(self) -> None:
        generator = torch.Generator().manual_seed(12)
        layer = Layer(second_moment(generator, 24, 1e4))
        for _ in range(2):
            layer.append(normal(generator, 24, 3))
            for threshold in [10.0**-power for power in range(SPACES + 1)]:
                layer.check("alphaedit", normal(generator, 24, 2), preset(1.0, threshold=threshold))

    def test_neither_method_pays_for_what_the_other_takes_from_the_statistics(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generator = torch.Generator().manual_seed(13)
        keys, ways = normal(generator, 8, 2), {"memit": "eigh", "alphaedit": "cholesky_ex"}
        for method, unwanted in ways.items():
            with monkeypatch.context() as patched:
                patched.setattr(torch.linalg, unwanted, refuse)
                Layer(second_moment(generator, 8, 10.0)).solve(method, keys, preset(1.0))


def refuse(*_args: object) -> None:
    raise AssertionError
