"""The client against a running service: edit, ask, look back, take back; waiting and awaiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import AsyncClient, Client, Conflict, InvalidRequest, JobUnsuccessful, NotFound
from app.domain.contract import AnyVersion, FactKey, JobStatus
from app.local.stack import Stack
from tests.e2e.conftest import MODEL
from tests.support.data_files import TABLE

COUNTRY = "is located in the country of"


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


def says(client: Client, subject: str, version: AnyVersion | None = None) -> str:
    [answer] = client.query(f"{subject} {COUNTRY}", version=version).answers
    return answer.text.split()[0].strip(".,")


def test_a_fact_is_written_read_back_and_taken_out(client: Client) -> None:
    before = client.versions(MODEL).head
    handle = client.edit([{"subject": "Hanoi", "relation": COUNTRY, "object": "Peru"}])
    kinds = [event.kind for event in handle.events()]
    assert kinds[-1] == "end"
    job = handle.wait()
    assert job.report is not None
    assert (job.status, job.version, job.report.facts[0].holds) == (JobStatus.SUCCEEDED, before + 1, True)
    assert (says(client, "Hanoi"), says(client, "Hanoi", before)) == ("Peru", "Vietnam")

    fact = next(fact for fact in client.facts(MODEL).facts if fact.job == job.id)
    assert (fact.subject, fact.version, fact.index) == ("Hanoi", before + 1, 0)
    assert client.diff(MODEL, before, before + 1).facts.added == (fact,)
    assert client.version(MODEL, before + 1).changes.added == (fact,)
    assert job.id in [each.id for each in client.jobs(model=MODEL, status="succeeded").jobs]
    assert client.job(job.id).job.report == job.report

    taken = client.revert(MODEL, [FactKey(version=before + 1, index=0)]).wait()
    assert (taken.version, says(client, "Hanoi")) == (before + 2, "Vietnam")
    again = client.rollback(MODEL, before + 1, if_match=before + 2).wait()
    assert (again.version, says(client, "Hanoi")) == (before + 3, "Peru")
    out = client.revert_edit(job.id).wait()
    assert (out.version, says(client, "Hanoi")) == (before + 4, "Vietnam")


def test_an_edit_waits_until_it_is_published_or_dropped(client: Client) -> None:
    before = client.versions(MODEL).head
    facts = [{"subject": name, "relation": COUNTRY, "object": "Peru"} for name in ("Sapporo", "Milan")]
    jobs = [client.edit(fact, propose=True).wait() for fact in facts]
    assert [(job.status, job.version) for job in jobs] == [(JobStatus.PROPOSED, None)] * 2
    first, second = (job.proposal or "" for job in jobs)
    told = client.proposals(MODEL).proposals
    assert [(each.id, each.job, each.version, each.report) for each in told] == [
        (first, jobs[0].id, before, None),
        (second, jobs[1].id, before, None),
    ]
    assert client.proposal(MODEL, first).report == jobs[0].report
    assert says(client, "Sapporo", first) == "Peru" != says(client, "Sapporo")

    published = client.publish(MODEL, first, if_match=before).wait()
    assert (published.version, says(client, "Sapporo")) == (before + 1, "Peru")
    assert client.version(MODEL, before + 1).proposal == first
    assert client.proposal(MODEL, second).current is False
    with pytest.raises(Conflict, match="precondition_failed"):
        client.publish(MODEL, second, if_match=before)
    dropped = client.drop(MODEL, second).wait()
    assert (dropped.version, client.proposals(MODEL).proposals) == (None, ())
    with pytest.raises(NotFound, match="unknown_proposal"):
        client.publish(MODEL, second)
    assert client.versions(MODEL).head == before + 1


def test_a_file_may_wait_too(client: Client) -> None:
    before = client.versions(MODEL).head
    [job] = client.import_file(TABLE.encode(), propose=True).jobs
    proposal = client.job(job.id).wait().proposal or ""
    assert [each.id for each in client.proposals(MODEL).proposals] == [proposal]
    client.drop(MODEL, proposal).wait()
    assert client.versions(MODEL).head == before


def test_refusals_name_what_is_wrong(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.edit([{"subject": "Hanoi", "prompt": "Paris is in", "object": "Peru"}])
    assert (caught.value.code, caught.value.field) == ("subject_not_in_prompt", "facts.0.prompt")
    assert caught.value.value == "Paris is in"
    with pytest.raises(NotFound, match="unknown_version"):
        client.rollback(MODEL, 9999)
    with pytest.raises(NotFound, match="unknown_job"):
        client.job("nobody")
    with pytest.raises(Conflict, match="precondition_failed"):
        client.rollback(MODEL, 0, if_match=9999)


def test_a_job_that_changes_nothing_is_told(client: Client) -> None:
    fact = {"subject": "Quito", "relation": COUNTRY, "object": "Italy", "paraphrases": ["The symbol of Hydrogen is"]}
    handle = client.edit(fact, verify={"paraphrases": 1.0})
    with pytest.raises(JobUnsuccessful, match="rejected"):
        handle.wait()
    assert handle.wait(check=False).status is JobStatus.REJECTED


def test_under_one_key_an_edit_is_one_job(client: Client) -> None:
    fact = {"subject": "Turin", "relation": COUNTRY, "object": "Peru"}
    first, second = (client.edit(fact, idempotency_key="turin") for _ in range(2))
    assert first.id == second.id
    first.wait()
    with pytest.raises(InvalidRequest, match="idempotency_key_reused"):
        client.edit({**fact, "object": "Chile"}, idempotency_key="turin")


def test_a_job_that_waits_is_cancelled(client: Client) -> None:
    facts = [{"subject": f"Town {n}", "relation": COUNTRY, "object": "Peru"} for n in range(3)]
    running, waiting = (client.edit(fact) for fact in facts[:2])
    waiting.cancel()
    assert waiting.wait(check=False).status is JobStatus.CANCELLED
    running.wait(check=False)


def test_text_is_generated_and_a_version_exported(client: Client, data_dir: Path) -> None:
    reply = client.generate(["The capital of Chad is"], max_new_tokens=4, do_sample=True, seed=7)
    assert reply == client.generate("The capital of Chad is", max_new_tokens=4, do_sample=True, seed=7)
    exported = client.export(MODEL, "updates", 0).wait().exported
    assert exported is not None
    assert json.loads((data_dir / "exports" / exported.path / "palimpsest.json").read_text())["model"] == MODEL


def test_a_file_is_imported(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "facts.csv"
    file.write_text("subject,prompt,object\nPisa,{} is located in the country of,Peru\nBari,Rome is in,Peru\n")
    report = client.import_file(file, dry_run=True)
    assert (report.dry_run, report.checked, report.usable, report.unusable) == (True, True, 1, 1)
    report = client.import_file(file)
    assert [(each.record, each.line, each.code) for each in report.first_unusable] == [(1, 3, "subject_not_in_prompt")]
    [job] = report.jobs
    assert client.job(job.id).wait().status is JobStatus.SUCCEEDED
    assert says(client, "Pisa") == "Peru"
    assert client.import_file(TABLE.encode(), dry_run=True, limit=1).usable == 1


def test_what_the_worker_refuses_is_told_by_its_place_in_the_file(client: Client) -> None:
    rows = ["subject,prompt,object", "Pisa,Rome is in,Peru", f"Lima,{{}} {'is ' * 200}in,Peru", "Bari,{} is in,Peru"]
    report = client.import_file("\n".join(rows).encode(), dry_run=True)
    assert [(each.record, each.line, each.code) for each in report.first_unusable] == [
        (0, 2, "subject_not_in_prompt"),
        (1, 3, "prompt_too_long"),
    ]
    assert (report.usable, report.unusable) == (1, 2)
    assert [fact.subject for fact in report.sample] == ["Bari"]


def test_awaiting_does_the_same(stack: Stack) -> None:
    async def story() -> None:
        async with AsyncClient(stack.url) as client:
            [model] = (await client.models()).models
            before = (await client.versions(model.id)).head
            handle = await client.edit({"subject": "Accra", "relation": COUNTRY, "object": "Peru"})
            assert [event.kind async for event in handle.events()][-1] == "end"
            job = await handle.wait()
            assert job.version == before + 1
            [answer] = (await client.query(f"Accra {COUNTRY}", min_version=job.version)).answers
            assert answer.text.split()[0].startswith("Peru")
            assert (await client.facts(model.id)).facts[-1].subject == "Accra"
            assert len((await client.diff(model.id, before, before + 1)).facts.added) == 1
            assert (await client.version(model.id, before + 1)).job == job.id
            assert (await client.jobs(limit=1)).jobs[0].id == job.id
            assert (await (await client.job(job.id)).refresh()).status is JobStatus.SUCCEEDED
            assert (await client.generate("The capital of Chad is", max_new_tokens=2)).generations
            report = await client.import_file(TABLE.encode(), dry_run=True)
            assert (report.usable, report.checked) == (1, True)
            with pytest.raises(InvalidRequest):
                await client.chat("Hello")
            exported = (await (await client.export(model.id, "updates")).wait()).exported
            assert exported is not None
            await (await client.revert_edit(job.id)).wait()
            with pytest.raises(NotFound):
                await client.revert(model.id, [(before + 1, 0)])
            back = await (await client.rollback(model.id, before)).wait()
            assert back.version == before + 3
            for decide in (client.publish, client.drop):
                handle = await client.edit({"subject": "Tunis", "relation": COUNTRY, "object": "Peru"}, propose=True)
                proposal = (await handle.wait()).proposal or ""
                assert [each.id for each in (await client.proposals(model.id)).proposals] == [proposal]
                assert (await client.proposal(model.id, proposal)).job == handle.id
                reply = await client.query(f"Tunis {COUNTRY}", version=proposal)
                assert reply.version == proposal
                await (await decide(model.id, proposal)).wait()
                assert (await client.proposals(model.id)).proposals == ()
            assert (await client.versions(model.id)).head == before + 4

    asyncio.run(story())
