"""A query over Arrow columns is planned once, and reads the columns of each call."""

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tokenmart import prepared
from tokenmart.prepared import PreparedQueries


def column(*values: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def test_each_call_reads_its_own_columns() -> None:
    queries = PreparedQueries(duckdb.connect())
    for values in ((1, 2), (3,), (4, 5, 6)):
        assert queries.run("select sum(n) as total from batch", {}, {"n": column(*values)})["total"][0].as_py() == sum(
            values
        )
        other = queries.run(
            "with twice as (select n * 2 as n from batch) select n from twice", {}, {"n": column(*values)}
        )
        assert other["n"].to_pylist() == [2 * value for value in values]
    assert len(queries) == 2


def test_columns_of_another_type_need_another_query() -> None:
    queries = PreparedQueries(duckdb.connect())
    for value in (1, "a", 2, "b"):
        assert queries.run("select n from batch", {}, {"n": column(value)})["n"].to_pylist() == [value]
    assert len(queries) == 2


def test_parameters_may_be_text_lists_or_booleans() -> None:
    query = "select n = any($names) and $is_on as found, '$other' as kept from batch"
    queries = PreparedQueries(duckdb.connect())
    for is_on in (True, False):
        found = queries.run(query, {"names": ["it's", "b"], "is_on": is_on}, {"n": column("it's", "c")})
        assert found.to_pydict() == {"found": [is_on, False], "kept": ["$other", "$other"]}
    assert queries.run(query, {"names": [], "is_on": True}, {"n": column("c")})["found"].to_pylist() == [False]


def test_the_least_recently_used_query_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MOST_QUERIES", 2)
    queries = PreparedQueries(duckdb.connect())
    for number in (1, 2, 1, 3, 1, 2):
        assert queries.run(f"select n + {number} as n from batch", {}, {"n": column(10)})["n"].to_pylist() == [
            10 + number
        ]
    assert len(queries) == 2


def test_a_query_that_fails_can_run_again() -> None:
    queries = PreparedQueries(duckdb.connect())
    with pytest.raises(duckdb.ConversionException):
        queries.run("select cast(n as integer) as n from batch", {}, {"n": column("x")})
    assert queries.run("select cast(n as integer) as n from batch", {}, {"n": column("7")})["n"].to_pylist() == [7]
