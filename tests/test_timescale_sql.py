"""The macros for TimescaleDB change nothing on plain PostgreSQL, and the SQL has the form that TimescaleDB needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from targets import Engine
from timescale import ALL_ON, dbt, load, request_on, with_requests

REQUESTS = ("build", "--select", "+llm_requests", "--resource-type", "seed", "--resource-type", "model")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Engine]:
    with with_requests("postgres", tmp_path) as warehouse:
        yield warehouse


def test_without_the_extension_the_variables_change_nothing(on: Engine) -> None:
    dbt(on, *REQUESTS, **ALL_ON)
    assert dbt(on, "compile", "--inline", "{{ apply_storage_policies('occurred_at') }}", **ALL_ON) == ""
    assert on.query("select count(*) from {marts}.llm_requests") == [(56,)]
    assert on.query("select to_regclass('{marts}.live_usage')") == [(None,)]


def test_the_delete_is_bounded_by_timestamp_literals(on: Engine) -> None:
    dbt(on, *REQUESTS)
    load(on, request_on("e4", 5, output_tokens=999), request_on("e6", 7, output_tokens=999))
    dbt(on, *REQUESTS)
    sent = (on.folder / "run/tokenmart/models/requests/llm_requests.sql").read_text()
    assert "occurred_at >= timestamp '2026-10-04' and occurred_at < timestamp '2026-10-09'" in sent
