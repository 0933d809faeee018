"""Two formats that may report the same requests are reported, because nothing joins their requests."""

import json
from typing import Any

import pytest

from conftest import Mart, tokenledger
from parsing import Line

TRANSCRIPT: Line = {
    "type": "assistant",
    "uuid": "u",
    "sessionId": "s1",
    "timestamp": "2026-11-01T09:30:00Z",
    "requestId": "req_1",
    "message": {
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "usage": {"input_tokens": 10, "output_tokens": 20},
    },
}


def attributes(**values: Any) -> list[Line]:
    return [{"key": name.replace("__", "."), "value": {"stringValue": str(value)}} for name, value in values.items()]


def exported(second: int) -> Line:
    """An OpenTelemetry export of Claude Code with one request."""
    log = {
        "timeUnixNano": str((1793525400 + second) * 10**9),
        "body": {"stringValue": "claude_code.api_request"},
        "attributes": attributes(
            event__name="api_request",
            model="claude-sonnet-4-5-20250929",
            input_tokens=10,
            output_tokens=20,
            request_id=f"req_{second}",
        ),
    }
    scope = {"name": "com.anthropic.claude_code.events"}
    resource = {"attributes": attributes(service__name="claude-code")}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [log]}]}]}


@pytest.mark.slow
def test_transcripts_and_events_of_one_application_are_reported(mart: Mart) -> None:
    mart.run(
        "load", mart.write("transcript.jsonl", TRANSCRIPT), mart.write("a.jsonl", tokenledger("a", app_name="api"))
    )
    assert "warned" not in mart.run("build").output
    mart.run("load", mart.write("events.jsonl", exported(0), exported(86_400)))
    warning = next(line for line in mart.run("build").output.splitlines() if "assert_formats_do_not_overlap" in line)
    assert "usage_date=2026-11-01, app_name=claude-code, canonical_model=claude-sonnet-4-5" in warning
    assert "first_format=claude_code, last_format=otel, requests=2" in warning
    found = [finding for finding in mart.json("doctor") if finding["what"] == "formats"]
    assert [finding["found"] for finding in found] == [
        "claude_code and otel both report requests of claude-code with the same models on 1 day"
    ]
    assert "tokenmart undo" in json.dumps(found)
