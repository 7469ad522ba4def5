"""What a server is asked: all that a worker would be, and nothing that vLLM takes otherwise."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from tests.support.texts_asked import (
    ASKED,
    CHATTED,
    COMPLETIONS,
    NAME,
    written,
)
from tests.support.upstream import (
    CHAT,
    InferenceServer,
)
from tests.support.worker_end import WorkerEnd


class TestParameters:
    def test_reach_the_server_all_of_them(self, client: TestClient, engine: InferenceServer) -> None:
        sampled = {"temperature": 0.7, "top_p": 0.5, "frequency_penalty": 1.0, "presence_penalty": -1.0}
        client.post(
            CHAT,
            json={
                **CHATTED,
                **sampled,
                "n": 2,
                "max_completion_tokens": 9,
                "stop": ["x"],
                "logit_bias": {"7": -1},
                "user": "u",
                "store": True,
            },
        )
        [(_, body)] = engine.asked
        assert body == {
            "model": NAME,
            "messages": [{"role": "user", "content": "Where is Lyon?"}],
            **sampled,
            "n": 2,
            "max_tokens": 9,
            "stop": ["x"],
            "logit_bias": {"7": -1.0},
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def test_that_are_left_out_are_openais_and_not_the_models_own(
        self, client: TestClient, engine: InferenceServer
    ) -> None:
        client.post(COMPLETIONS, json=ASKED)
        [(_, body)] = engine.asked
        assert {"max_tokens": 16, "temperature": 1.0, "top_p": 1.0, "top_k": -1}.items() <= body.items()
        assert body["prompt"] == ["Lyon is in"]

    def test_messages_are_as_a_worker_gets_them(self, client: TestClient, engine: InferenceServer) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        messages = [{"role": "developer", "content": "c", "name": "d"}, {"role": "user", "content": parts}]
        client.post(CHAT, json={**CHATTED, "messages": messages})
        [(_, body)] = engine.asked
        assert body["messages"] == [{"role": "system", "content": "c"}, {"role": "user", "content": "ab"}]
        assert "max_tokens" not in body

    def test_that_vllm_takes_otherwise_are_answered_by_a_worker(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd
    ) -> None:
        others: list[tuple[str, dict[str, Any]]] = [
            (COMPLETIONS, {"logprobs": 0}),
            (COMPLETIONS, {"logprobs": 5}),
            (CHAT, {"logprobs": True, "top_logprobs": 20}),
            (COMPLETIONS, {"min_version": 1}),
            (COMPLETIONS, {"seed": 7}),
            (COMPLETIONS, {"temperature": 0.005}),
            (COMPLETIONS, {"temperature": 0, "n": 2}),
            (COMPLETIONS, {"top_p": 0}),
            (COMPLETIONS, {"stop": ["a", "b"]}),
            (COMPLETIONS, {"prompt": "<|endoftext|>Lyon"}),
            (COMPLETIONS, {"prompt": ["Lyon", "<s> Lyon"]}),
            (COMPLETIONS, {"prompt": "[INST] Lyon [/INST]"}),
        ]
        for number, (path, given) in enumerate(others, start=1):
            client.post(path, json={**(CHATTED if path == CHAT else ASKED), **given})
            assert (engine.asked, written(worker)) == ([], number), given

    def test_that_mean_the_same_are_passed_on(self, client: TestClient, engine: InferenceServer) -> None:
        same: list[dict[str, Any]] = [{"seed": 7, "temperature": 0}, {"temperature": 0}, {"n": 2}]
        same += [{"prompt": "1 < 2 and a[i] > 3"}, {"temperature": 0.01}, {"stop": "."}]
        for number, given in enumerate(same, start=1):
            assert client.post(COMPLETIONS, json={**ASKED, **given}).status_code == 200
            assert len(engine.asked) == number, given
            assert "seed" not in engine.asked[-1][1]

    def test_that_are_refused_stay_refused(self, client: TestClient, engine: InferenceServer) -> None:
        others: list[dict[str, Any]] = [{"tools": []}, {"n": 17}, {"suffix": "x"}, {"top_k": 3}]
        for given in (*others, {"echo": True, "logprobs": 1}):
            refused = client.post(COMPLETIONS, json={**ASKED, **given})
            assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
        assert engine.asked == []
