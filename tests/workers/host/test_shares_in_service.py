"""A share instead of λ, through the worker's own door: used, reported, logged, and not under strict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.domain.contract import EditBatch, EditReport, Fact, Hyperparameters
from app.domain.errors import InvalidHyperparameter
from tests.support.tiny_models import save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened
from workers.editing import probes
from workers.editing.priors import PriorSource
from workers.editing.statistics import Statistics
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
        with pytest.raises(InvalidHyperparameter) as caught:
            host.check(batch(Hyperparameters(history=True), "rect", strict=True))
        assert caught.value.field == "hyperparameters.history"


def test_what_came_after_the_methods_is_used_and_reported(tmp_path: Path) -> None:
    """Each changes what is written, and a version edited with it comes back from its log as it was."""
    settings = (
        Hyperparameters(),
        Hyperparameters(norm_anchor=True),
        Hyperparameters(update_norm_lambda=50.0),
    )
    digests = []
    for index, asked in enumerate(settings):
        source, data = save_tiny(tmp_path / "model"), tmp_path / str(index)
        with opened(source, data) as host:
            said = report_of(host, "job-1", batch(asked)).hyperparameters
            assert said == {**said, **asked.model_dump(exclude_none=True)}
            digests.append(digest_of(host))
        with opened(source, data) as host:
            assert digest_of(host) == digests[-1]
    assert len(set(digests)) == len(settings)


class TestImpossible:
    """What no solve can realise is refused at the check, by its field, and not in the job."""

    @pytest.mark.parametrize("settings", [Hyperparameters(), Hyperparameters(share=0.5)])
    def test_a_threshold_that_frees_no_direction(self, settings: Hyperparameters, tmp_path: Path) -> None:
        asked = batch(settings.model_copy(update={"nullspace_threshold": 1e-12}), "alphaedit")
        with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
            moments = {layer: torch.eye(host.live.key_width(layer)) for layer in (1, 2)}
            host._priors = PriorSource(host.live, Statistics(moments, tokens=1), host.base.contexts)
            with pytest.raises(InvalidHyperparameter) as caught:
                host.check(asked)
            assert (caught.value.field, caught.value.value) == ("hyperparameters.nullspace_threshold", 1e-12)
            host.check(batch(Hyperparameters(nullspace_threshold=1.5), "alphaedit"))
            host.check(batch(Hyperparameters(nullspace_threshold=1e-12), "memit"))

    def test_a_share_where_no_probe_fits_into_the_window(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "PROBES", ((f"The capital {'and ' * 100}of {{}} is", "France"),))
        with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
            with pytest.raises(InvalidHyperparameter) as caught:
                host.check(batch(Hyperparameters(share=0.5)))
            assert caught.value.field == "hyperparameters.share"
            host.check(batch(Hyperparameters()))
            host.check(batch(Hyperparameters(share=0.5), "ft-l"))

    def test_statistics_of_a_few_keys_alone_lead_to_a_ridge(self, tmp_path: Path) -> None:
        """C is singular then, and what rounding left of it was taken for directions: the job failed."""
        folder = save_tiny(tmp_path / "model")
        (folder / "corpus.txt").write_text("Lyon is a city.\n")
        asked = batch(Hyperparameters(share=0.5))
        with opened(folder, tmp_path / "data") as host:
            host.check(asked)
            assert all(ridge > 0 for ridge in report_of(host, "job-1", asked).ridges.values())
