"""Solves against cached previous keys are those of the dense equation, whatever was appended, taken out and folded.

Both are held against the same equation in extended precision. Up to a condition number of 1e8 of the matrix solved the
error must be within 1e-9, and beyond in proportion. The dense solve in float64 errs as much, and sometimes more: twice
its error is allowed as well.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.editing.layers_with_keys import BOUND, FREE, METHODS, Layer, error, normal, preset, second_moment

OPERATIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 7)),
    st.tuples(st.just("repeat"), st.integers(1, 2)),
    st.tuples(st.just("take out"), st.integers(1, 5)),
    st.tuples(st.just("solve"), st.integers(1, 5)),
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 20),
    st.floats(0, 8),
    st.lists(OPERATIONS, min_size=1, max_size=14),
    st.lists(st.sampled_from([0.1, 3.0, 100.0, 15000.0]), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_any_history_of_keys_leaves_the_dense_solution(
    method: str, width: int, condition: float, history: list[tuple[str, int]], weights: list[float], seed: int
) -> None:
    """Keys come in blocks, the same ones again, and leave, one after another; settings change from batch to batch."""
    generator = torch.Generator().manual_seed(seed)
    layer = Layer(second_moment(generator, width, 10.0**condition))
    for number, (operation, count) in enumerate([*history, ("solve", 2)]):
        if operation == "append":
            layer.append(normal(generator, width, count))
        elif operation == "repeat":
            layer.append(layer.plain[:, :count].clone())
        elif operation == "take out":
            leaving = torch.randperm(layer.plain.shape[1], generator=generator)[:count].tolist()
            layer.take_out(leaving)
        else:
            weight = weights[number % len(weights)]
            layer.check(method, normal(generator, width, count), preset(weight, ridge=weight / 10))


class TestInDualForm:
    """The dual form itself, where no dense solve stands in for it."""

    @pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
    @pytest.mark.parametrize("weight", [1.0, 100.0, 15000.0])
    @pytest.mark.parametrize("earlier", [0, 20, 40])
    @pytest.mark.parametrize("corpus", [True, False])
    def test_it_gives_what_extended_precision_gives(
        self, condition: float, weight: float, earlier: int, corpus: bool
    ) -> None:
        """Keys as the corpus has them, and keys that are nothing like it."""
        generator = torch.Generator().manual_seed(5)
        layer = Layer(second_moment(generator, 96, condition))
        shape = torch.linalg.cholesky(layer.moment) if corpus else torch.eye(96, dtype=torch.float64)
        for _ in range(0, earlier, 10):
            layer.append(shape @ normal(generator, 96, 10))
        keys, settings = shape @ normal(generator, 96, 8), preset(weight)
        for method, space, ridge in (
            ("memit", layer.base.weighted, weight),
            ("alphaedit", layer.base.null_space(FREE), settings.L2),
        ):
            assert space is not None
            found = layer.previous.right_factor(keys, space, ridge)
            if space.basis is not None and space.basis.shape[1] <= keys.shape[1]:
                assert found is None  # C of a condition of 1 leaves no direction free
                continue
            assert found is not None
            assert error(found, layer.exact(method, keys, settings)[0]) <= BOUND

    def test_keys_that_differ_little_where_it_matters_do_not_spoil_it(self) -> None:
        """C is all but empty in 8 directions, and there are 20 keys: seen through C, they are all but dependent."""
        generator = torch.Generator().manual_seed(6)
        basis = torch.linalg.qr(normal(generator, 64, 64)).Q
        values = torch.ones(64, dtype=torch.float64)
        values[:8] = 1e-6
        layer = Layer((basis * values) @ basis.T)
        layer.append(normal(generator, 64, 15))
        keys = normal(generator, 64, 5)
        assert layer.base.weighted is not None
        found = layer.previous.right_factor(keys, layer.base.weighted, 1.0)
        assert found is not None
        assert error(found, layer.exact("memit", keys, preset(1.0))[0]) <= 1e-12


class TestWhereADenseSolveStandsIn:
    def test_statistics_of_too_few_tokens_give_the_dense_solution(self) -> None:
        generator = torch.Generator().manual_seed(7)
        few = normal(generator, 12, 5)
        layer = Layer(few @ few.T)
        layer.moment[0, 0] -= 1e-9
        layer.append(normal(generator, 12, 9))
        keys = normal(generator, 12, 4)
        assert layer.base.weighted is None
        assert torch.equal(layer.solve("memit", keys, preset(3.0)), layer.dense("memit", keys, preset(3.0)))

    @pytest.mark.parametrize("method", METHODS)
    def test_a_ridge_that_is_nothing_beside_the_keys_gives_the_dense_solution(self, method: str) -> None:
        generator = torch.Generator().manual_seed(8)
        layer = Layer(second_moment(generator, 12, 1e4))
        layer.append(normal(generator, 12, 5))
        keys, tiny = layer.plain[:, :2] + 0, preset(1e-13, ridge=1e-13, threshold=2.0)
        assert torch.equal(layer.solve(method, keys, tiny), layer.dense(method, keys, tiny))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("method", METHODS)
def test_it_runs_where_the_model_is(method: str) -> None:
    generator = torch.Generator().manual_seed(14)
    layer = Layer(second_moment(generator, 32, 1e4).cuda())
    for _ in range(8):
        layer.append(normal(generator, 32, 3).cuda())
        keys = normal(generator, 32, 2).cuda()
        found = layer.solve(method, keys, preset(100.0))
        assert found.device.type == "cuda"
        assert float((found - layer.dense(method, keys, preset(100.0))).norm() / found.norm()) <= BOUND
