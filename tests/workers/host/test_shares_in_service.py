"""A share instead of λ, through the worker's own door: used, reported, logged, and not under strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.contract import EditBatch, EditReport, Fact, Hyperparameters
from app.domain.errors import InvalidHyperparameter
from tests.support.tiny_models import save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost

FACTS = (Fact(subject="Lyon", prompt="{} is a city in", object="Japan"),)


def batch(settings: Hyperparameters, method: str = "memit", *, strict: bool = False) -> EditBatch:
    quick = settings.model_copy(update={"v_num_grad_steps": 2})
    return EditBatch(facts=FACTS, method=method, strict=strict, hyperparameters=quick, unheld="keep")


def report_of(host: ModelHost, job: str, asked: EditBatch) -> EditReport:
    report = done(host, job, asked).report
    assert report is not None
    return report


@pytest.mark.parametrize("method", ["memit", "alphaedit"])
def test_what_it_came_to_is_in_the_report_and_in_the_log(method: str, tmp_path: Path) -> None:
    asked = batch(Hyperparameters(share=0.9, nullspace_threshold=1.0), method)
    with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
        report = report_of(host, "job-1", asked)
        assert set(report.ridges) == {1, 2}
        assert len({*report.ridges.values(), 10.0}) == 3  # neither layer has the file's number
        kept = host.log.manifest(1).report
        assert kept is not None
        assert kept.ridges == report.ridges
        by_share = digest_of(host)
    with opened(tmp_path / "model", tmp_path / "other") as host:
        again = report_of(host, "job-1", asked)
        assert (again.ridges, digest_of(host)) == (report.ridges, by_share)


def test_without_one_the_number_is_told(tmp_path: Path) -> None:
    with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
        assert report_of(host, "job-1", batch(Hyperparameters())).ridges == {1: 10.0, 2: 10.0}
        assert report_of(host, "job-2", batch(Hyperparameters(mom2_update_weight=3.0, share=0.5))).ridges == {
            1: 3.0,
            2: 3.0,
        }
        assert report_of(host, "job-3", batch(Hyperparameters(), "ft-l")).ridges == {}


def test_strict_knows_no_share(tmp_path: Path) -> None:
    with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
        with pytest.raises(InvalidHyperparameter) as caught:
            host.check(batch(Hyperparameters(share=0.5), strict=True))
        assert caught.value.field == "hyperparameters.share"
        assert host.preset_for(batch(Hyperparameters(), strict=True)).share is None
