"""What an edit does to other text: by hand on tiny models, and versions that say nothing any more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.domain.contract import EditBatch, Fact, Hyperparameters, JobStatus, Rollback, Verify
from app.domain.errors import DeadVersion, PalimpsestError, RequestError
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import batch, opened
from workers.editing.model.editable_model import EditableModel
from workers.evaluation.harm import HarmMeter, outlook_at, refuse_flat
from workers.host.model_host import ModelHost
from workers.host.statistics_store import CORPUS

TEXTS = [list(range(1 + start, 20 + start)) for start in range(30)]


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as found:
        yield found


def log_probabilities(editable: EditableModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits = editable.model(input_ids=torch.tensor([ids])).logits[0]
    found: torch.Tensor = logits.double().log_softmax(-1)
    return found


def shifted(live: EditableModel, by: float) -> EditableModel:
    shadow = live.shadow((1,))
    shadow.set_master(1, live.master(1) + by * torch.eye(*live.master(1).shape))
    return shadow


def silenced(live: EditableModel) -> EditableModel:
    """A model whose next tokens are all alike, whatever stands before them."""
    shadow = live.shadow((1,))
    shadow.anatomy.final_norm.register_forward_hook(lambda _module, _args, output: output * 0)
    return shadow


def test_the_figures_are_those_of_whole_distributions(host: ModelHost) -> None:
    meter, after = HarmMeter(host.live, TEXTS[:2]), shifted(host.live, 0.5)
    found = meter.harm(meter.outlook(after), 0)
    divergences, agreements, losses = [], [], []
    for ids in TEXTS[:2]:
        p, q = log_probabilities(host.live, ids)[:-1], log_probabilities(after, ids)[:-1]
        divergences += (p.exp() * (p - q)).sum(-1).tolist()
        agreements += (p.argmax(-1) == q.argmax(-1)).tolist()
        labels = torch.tensor(ids[1:])[:, None]
        losses += (p.gather(-1, labels) - q.gather(-1, labels)).flatten().tolist()
    assert found.tokens == len(divergences) == 36
    assert found.before == found.base
    assert found.before.kl == pytest.approx(sum(divergences) / 36, rel=1e-4)
    assert found.before.top1 == pytest.approx(sum(agreements) / 36)
    assert found.before.perplexity == pytest.approx(math.exp(sum(losses) / 36), rel=1e-4)
    assert found.before.kl > 0.01


def test_the_model_itself_does_no_harm(host: ModelHost) -> None:
    meter = HarmMeter(host.live, TEXTS)
    found = meter.harm(meter.outlook(host.live), 0).base
    assert (found.kl, found.top1, found.perplexity) == (0.0, 1.0, 1.0)


def test_it_is_bounded_however_many_texts_there_are(host: ModelHost) -> None:
    assert HarmMeter(host.live, TEXTS * 50).harm(HarmMeter(host.live, TEXTS * 50).outlook(host.live), 0).tokens <= 256
    assert not HarmMeter(host.live, []).ready


class TestInReports:
    def test_against_the_version_before_and_against_the_base(self, host: ModelHost) -> None:
        first = done(host, "one", batch("Lyon", steps=5)).report
        second = done(host, "two", batch("Oslo", steps=5)).report
        assert first is not None
        assert second is not None
        assert first.harm is not None
        assert second.harm is not None
        assert first.harm.before == first.harm.base
        assert second.harm.before != second.harm.base
        assert second.harm.before.kl > 0

    def test_what_is_kept_of_the_version_before_is_what_it_would_be_measured_as(
        self, host: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        """After a restart, and after a rollback, which no edit measured."""
        done(host, "one", batch("Lyon", steps=5))
        done(host, "two", batch("Oslo", steps=5))
        done(host, "back", Rollback(to=1))
        report = done(host, "three", batch("Oslo", steps=5)).report
        host.close()
        assert report is not None
        with opened(model, tmp_path, epoch=2) as again:
            done(again, "again", Rollback(to=1))
            measured = done(again, "four", batch("Oslo", steps=5)).report
        assert measured is not None
        assert report.harm is not None
        assert measured.harm is not None
        assert measured.harm.before.kl == pytest.approx(report.harm.before.kl, rel=1e-4)
        assert measured.harm.base.kl == pytest.approx(report.harm.base.kl, rel=1e-4)

    @pytest.mark.parametrize(
        ("bound", "loose"),
        [({"kl": 0.0}, {"kl": 5.0}), ({"top1": 1.0}, {"top1": 0.1}), ({"perplexity": 0.01}, {"perplexity": 100.0})],
    )
    def test_it_may_be_bounded(self, host: ModelHost, bound: dict[str, float], loose: dict[str, float]) -> None:
        strong = batch("Lyon", steps=20).model_copy(
            update={"hyperparameters": Hyperparameters(v_num_grad_steps=20, v_lr=2.0, clamp_norm_factor=20.0)}
        )
        outcome = done(host, "one", strong.model_copy(update={"verify": Verify.model_validate(bound)}))
        assert (outcome.status, host.version) == (JobStatus.REJECTED, 0)
        assert outcome.report is not None
        assert outcome.report.rejected == f"beyond the bounds of verify: {next(iter(bound))}"
        outcome = done(host, "two", strong.model_copy(update={"verify": Verify.model_validate(loose)}))
        assert outcome.status is JobStatus.SUCCEEDED

    def test_a_bound_that_cannot_be_measured_is_refused(self, tmp_path: Path) -> None:
        folder = save_tiny(tmp_path / "tiny")
        with opened(folder, tmp_path):
            pass  # leaves its statistics
        (folder / CORPUS).unlink()
        bounded = batch("Lyon").model_copy(update={"verify": Verify(kl=0.05)})
        with opened(folder, tmp_path, epoch=2) as host:
            with pytest.raises(RequestError) as caught:
                host.check(bounded)
            assert (caught.value.field, caught.value.value) == ("verify.kl", 0.05)
            report = done(host, "one", batch("Lyon")).report
            assert report is not None
            assert report.harm is None


class TestDeadVersions:
    """T18: a version whose output is uniform is never committed, whatever the policy."""

    def test_one_whose_next_tokens_are_all_alike(self, host: ModelHost) -> None:
        meter, dead = HarmMeter(host.live, TEXTS), silenced(host.live)
        with pytest.raises(DeadVersion, match="says nothing any more"):
            meter.harm(meter.outlook(dead), 0)
        with pytest.raises(DeadVersion, match="all tokens are alike"):
            refuse_flat(dead, [TEXTS[0], TEXTS[1]])
        refuse_flat(host.live, [TEXTS[0], TEXTS[1]])

    def test_one_that_knows_no_more_than_the_number_of_tokens(self, host: ModelHost) -> None:
        """Its loss on texts that the base knew is that of a uniform distribution, though its own is not flat."""
        with torch.no_grad():
            own = [torch.tensor([[1]])]
            for _ in range(18):
                logits = host.live.model(input_ids=own[-1]).logits[:, -1]
                own.append(torch.cat([own[-1], logits.argmax(-1, keepdim=True)], dim=1))
        known = [own[-1][0].tolist()]  # what the model itself goes on with: of a low loss
        meter = HarmMeter(host.live, known)
        after = meter.outlook(host.live)
        assert meter.outlook(host.live).loss < 0.8 * math.log(host.live.model.config.vocab_size)
        worse = type(after)(after.log_probabilities, torch.full_like(after.nll, 5.99))
        with pytest.raises(DeadVersion, match=r"its loss on other text is 5\.99"):
            meter.harm(worse, 0)

    def test_one_that_is_nan_anywhere(self, host: ModelHost) -> None:
        shadow = host.live.shadow((1,))
        shadow.set_master(1, host.live.master(1) * float("nan"))
        with pytest.raises(DeadVersion, match="NaN"):
            outlook_at(shadow, TEXTS[:2], [(0, 3), (1, 4)])

    @pytest.mark.parametrize("policy", ["keep", "drop", "strict"])
    def test_a_job_fails_and_nothing_is_committed(
        self, host: ModelHost, policy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def quiet(_meter: HarmMeter, editable: EditableModel) -> object:
            found = outlook_at(editable, TEXTS[:2], [(0, 3), (1, 4)])
            flat = torch.full_like(found.log_probabilities, -math.log(found.log_probabilities.shape[-1]))
            return type(found)(flat, found.nll)

        monkeypatch.setattr(HarmMeter, "outlook", quiet)
        fact = Fact(subject="Lyon", prompt="{} is a city in", object="Japan")
        how = {"strict": True} if policy == "strict" else {"unheld": policy}
        with pytest.raises(PalimpsestError) as caught:
            done(host, "one", EditBatch(facts=(fact,), **how))
        assert caught.value.code == "dead_version"
        assert host.log.head() == host.version == 0
