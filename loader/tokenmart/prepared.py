"""Runs queries on Arrow tables in DuckDB, and plans each query only once."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

MOST_QUERIES = 64
_PARAMETER = re.compile(r"[$]([a-z_]+)")


class _Input:
    """The input table of a prepared statement. DuckDB reads the current `table` at each execution."""

    def __init__(self, schema: pa.Schema) -> None:
        self.empty = self.table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class PreparedQueries:
    """The prepared queries of one connection, because planning a query often takes longer than running it.

    There is one statement for each query text and input schema. Each statement has its own input table: if they shared
    one, DuckDB would plan all statements again whenever the table is replaced.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._prepared: OrderedDict[tuple[str, pa.Schema], tuple[str, _Input]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """The number of prepared queries."""
        return len(self._prepared)

    def run(self, query: str, params: Mapping[str, Any], columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        """Runs a query on the table `batch`, which has these columns, and returns its rows.

        `params` are booleans, texts and lists of texts. They replace `$name` in the query.
        """
        query = _PARAMETER.sub(lambda found: literal(params[found[1]]) if found[1] in params else found[0], query)
        table = pa.table(dict(columns))
        key = (query, table.schema)
        if key not in self._prepared:
            self._prepared[key] = self._prepare(query, table.schema)
        self._prepared.move_to_end(key)
        name, source = self._prepared[key]
        source.table = table
        try:
            return self._connection.sql(f"execute {name}").to_arrow_table()
        finally:
            source.table = source.empty

    def _prepare(self, query: str, schema: pa.Schema) -> tuple[str, _Input]:
        if len(self._prepared) == MOST_QUERIES:
            _, (oldest, _) = self._prepared.popitem(last=False)
            self._connection.execute(f"deallocate {oldest}")
            self._connection.unregister(f"{oldest}_input")
        self._count += 1
        name, source = f"statement_{self._count}", _Input(schema)
        self._connection.register(f"{name}_input", source)
        batch = f"with batch as (select * from {name}_input)"
        query = query.lstrip()
        statement = (
            f"{batch}, {query[5:]}" if query.startswith("with ") or query.startswith("with\n") else f"{batch} {query}"
        )
        self._connection.execute(f"prepare {name} as {statement}")
        return name, source


def literal(value: Any) -> str:
    """A boolean, a text or a list of texts as an SQL literal."""
    if isinstance(value, list):
        return f"cast([{', '.join(map(literal, value))}] as varchar[])"
    return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"
