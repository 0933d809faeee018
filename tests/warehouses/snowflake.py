# /// script
# requires-python = ">=3.11"
# # the compiled sqlglot takes half the time
# dependencies = ["fakesnow[server]==0.12.1", "snowflake-connector-python==4.8.1", "sqlglot[c]"]
# ///
# ruff: noqa: E402
"""A Snowflake server on DuckDB: fakesnow, corrected where its results would mislead dlt, dbt or the tests."""

import gc
import gzip
import json
import logging
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1]).resolve()
sys.path.pop(0)  # the folder of this script, whose name would shadow the connector's
tempfile.tempdir = str(FOLDER)  # fakesnow creates the folder of its stages there when it is imported

import duckdb
import fakesnow.arrow
import fakesnow.copy_into
import fakesnow.server
import fakesnow.transforms
import pyarrow as pa
import uvicorn
from fakesnow.copy_into import CopyParams, FileTypeHandler, MatchByColumnName, ReadJSON, _describe_table, _extract_table
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import DatabaseError, ProgrammingError
from sqlglot import Expr, exp, parse_one
from sqlglot.generators.duckdb import DuckDBGenerator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

USER, PASSWORD, DATABASE = "fake", "snow", "DB1"


def correction(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replaces `owner.name` by a function; the original is its first argument."""
    original = getattr(owner, name)

    def put(corrected: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return corrected(original, *args, **kwargs)

        setattr(owner, name, replacement)
        return corrected

    return put


@correction(FakeSnowflakeCursor, "_transform_explode")
def keep_temporary_relations(
    original: Callable[..., list[Expr]], cursor: FakeSnowflakeCursor, parsed: Expr
) -> list[Expr]:
    """A temporary relation belongs to a schema; DuckDB does not support that, so a permanent one is created."""
    if isinstance(parsed, exp.Create) and (properties := parsed.args.get("properties")):
        kept = [option for option in properties.expressions if not isinstance(option, exp.TemporaryProperty)]
        properties.set("expressions", kept)
    return original(cursor, parsed)


@correction(FakeSnowflakeCursor, "_transform_explode")
def run_each_statement(original: Callable[..., list[Expr]], cursor: FakeSnowflakeCursor, parsed: Expr) -> list[Expr]:
    """A request may contain several statements, as dlt's do: each is run, and the last result is returned."""
    if not isinstance(parsed, exp.Block):
        return original(cursor, parsed)
    return [part for statement in parsed.expressions for part in original(cursor, statement)]


@correction(FakeSnowflakeCursor, "execute")
def forget_results(original: Callable[..., Any], cursor: FakeSnowflakeCursor, *args: Any, **kwargs: Any) -> Any:
    """Results can be requested again by query id. No test does that, and all results would stay in memory."""
    try:
        return original(cursor, *args, **kwargs)
    finally:
        cursor._conn.results_cache.clear()


@correction(FakeSnowflakeCursor, "execute")
def leave_removed_files(
    original: Callable[..., Any], cursor: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any
) -> Any:
    """REMOVE deletes files from a stage. Here they are deleted with the folder, so only the answer matters."""
    is_remove = command.lstrip().lower().startswith("remove ")
    return original(cursor, "select 'removed' as result" if is_remove else command, *args, **kwargs)


@correction(FakeSnowflakeCursor, "execute")
def continue_after_an_error(
    original: Callable[..., Any], cursor: FakeSnowflakeCursor, *args: Any, **kwargs: Any
) -> Any:
    """A transaction continues after a failed statement; DuckDB refuses that, so its transaction is rolled back."""
    try:
        return original(cursor, *args, **kwargs)
    except duckdb.TransactionException as error:
        if "Current transaction is aborted" not in str(error):
            raise
        original(cursor, "rollback", server=True)
        return original(cursor, *args, **kwargs)


@correction(FakeSnowflakeCursor, "_describe_last_sql")
def describe_at_once(_original: Callable[..., Any], cursor: FakeSnowflakeCursor) -> list[Any]:
    """For speed: the types of a result come from DuckDB, without parsing and writing its SQL again."""
    return cursor._duck_conn.execute(f"describe {cursor._last_sql}", cursor._last_params).fetchall()


@correction(FakeSnowflakeCursor, "_transform")
def translate_first_row(original: Callable[..., Expr], cursor: FakeSnowflakeCursor, parsed: Expr, params: Any) -> Expr:
    """For speed: if constants are inserted, as by a seed, only the first row is translated."""
    values = parsed.find(exp.Values) if isinstance(parsed, exp.Insert) else None
    rows = values.expressions if values else []
    constants = exp.Literal | exp.Null | exp.Boolean
    if not values or not all(isinstance(cell, constants) for row in rows for cell in row.expressions):
        return original(cursor, parsed, params)
    values.set("expressions", rows[:1])
    translated = original(cursor, parsed, params)
    values = translated.find(exp.Values)
    assert values
    values.set("expressions", values.expressions + rows[1:])
    return translated


@correction(FakeSnowflakeCursor, "_describe_last_sql")
@correction(fakesnow.server, "describe_as_rowtype")
@correction(FakeSnowflakeCursor, "execute")
def refuse_with_an_error(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Every failure of a statement is an SQL error; a server error would be retried for minutes."""
    try:
        return original(*args, **kwargs)
    except DatabaseError:
        raise
    except Exception as error:
        raise ProgrammingError(msg=f"{type(error).__name__}: {error}", errno=100000, sqlstate="22000") from error


@correction(fakesnow.transforms, "put_stage")
def put_to_quoted_stage(original: Callable[..., Expr], parsed: Expr, *session: Any) -> Expr:
    """The stage of a PUT may be quoted, as dlt writes it: '@"RAW"."%EVENTS"/"1700000000.1"'."""
    if isinstance(parsed, exp.Put):
        parsed.set("target", exp.Var(this=parsed.args["target"].name.strip("'")))
    return original(parsed, *session)


@correction(fakesnow.copy_into, "_params")
def copy_as_dlt_writes_it(original: Callable[..., CopyParams], copy: exp.Copy, *args: Any, **kwargs: Any) -> CopyParams:
    """COPY INTO accepts commas between format options, and MATCH_BY_COLUMN_NAME = '...' in quotes."""
    for parameter in copy.args["params"]:
        options = parameter.expressions
        parameter.set("expressions", [option for option in options if not isinstance(option, exp.SequenceProperties)])
        if parameter.name == "MATCH_BY_COLUMN_NAME":
            parameter.set("expression", exp.Var(this=parameter.expression.name))
    return original(copy, *args, **kwargs)


@dataclass
class ReadNamedJSON(FileTypeHandler):
    """JSON Lines read into the columns of a table, by name."""

    columns: list[tuple[str, str]]

    def read_expression(self, url: str) -> Expr:
        columns = {name.lower(): data_type for name, data_type in self.columns}
        return parse_one(f"read_json('{url}', format='newline_delimited', columns={columns})", read="duckdb")


@correction(fakesnow.copy_into, "_params")
def copy_json_by_name(original: Callable[..., CopyParams], copy: exp.Copy, *args: Any, **kwargs: Any) -> CopyParams:
    """COPY INTO with MATCH_BY_COLUMN_NAME reads JSON too, as dlt loads its state."""
    params = original(copy, *args, **kwargs)
    if isinstance(params.file_format, ReadJSON) and params.match_by_column_name != MatchByColumnName.NONE:
        session = [kwargs[name] for name in ("duck_conn", "current_database", "current_schema")]
        params.file_format = ReadNamedJSON(_describe_table(_extract_table(copy.this), *session))
    return params


@correction(fakesnow.transforms, "numeric_agg_implicit_cast")
def aggregate_exactly(_original: Callable[..., Expr], aggregate: Expr) -> Expr:
    """The sum of NUMBERs is a NUMBER; fakesnow would sum doubles, in order to sum text too."""
    return aggregate


@correction(DuckDBGenerator, "cast_sql")
def divide_exactly(original: Callable[..., str], generator: DuckDBGenerator, cast: exp.Cast, **kwargs: Any) -> str:
    """The quotient of NUMBERs is a NUMBER with at least six places; DuckDB's is a double.

    A quotient that is cast to NUMBER is computed in whole numbers to the requested places, rounded half away from 0.
    """
    quotient, data_type = cast.this.unnest(), cast.to
    if not (isinstance(quotient, exp.Div) and data_type.is_type("decimal") and len(data_type.expressions) == 2):
        return original(generator, cast, **kwargs)
    dividend, divisor = (f"({generator.sql(operand)})" for operand in (quotient.this, quotient.expression))
    places = int(data_type.expressions[1].name)
    number, wanted = "decimal(38, 12)", generator.sql(data_type)
    # whole numbers of the last place; the parts before and after the point separately, since the product would not fit
    above, below = (
        f"(cast(trunc(abs({part})) as hugeint) * 1000000000000"
        f" + cast((abs({part}) - trunc(abs({part}))) * 1000000000000 as hugeint))"
        for part in (f"cast({operand} as {number})" for operand in (dividend, divisor))
    )
    sign = f"cast(sign(cast({dividend} as {number})) * sign(cast({divisor} as {number})) as hugeint)"
    rest = f"(2 * ({above} % nullif({below}, 0)) * {10**places} + {below}) // nullif(2 * {below}, 0)"
    units = f"{sign} * ({above} // nullif({below}, 0) * {10**places} + {rest})"
    exact = f"cast(cast({units} as decimal(38, 0)) * {Decimal(1).scaleb(-places):f} as {wanted})"
    is_float = f"'DOUBLE' in (typeof({dividend}), typeof({divisor}))"
    return f"case when {is_float} then cast({dividend} / {divisor} as {wanted}) else {exact} end"


@correction(FakeSnowflakeCursor, "_transform")
def name_json_types(original: Callable[..., Expr], cursor: FakeSnowflakeCursor, parsed: Expr, params: Any) -> Expr:
    """TYPEOF returns the type of a VARIANT: OBJECT, ARRAY, VARCHAR, BOOLEAN, INTEGER, DECIMAL or NULL_VALUE."""
    names = {"NULL": "NULL_VALUE", "BIGINT": "INTEGER", "UBIGINT": "INTEGER", "DOUBLE": "DECIMAL"}
    for call in list(parsed.find_all(exp.Typeof)):
        content = exp.Anonymous(this="json_type", expressions=[call.this])
        renamed = exp.case(content).else_(content.copy())
        for duckdb_name, name in names.items():
            renamed = renamed.when(exp.Literal.string(duckdb_name), exp.Literal.string(name))
        call.replace(renamed)
    return original(cursor, parsed, params)


@correction(fakesnow.transforms, "create_table_as")
def name_columns_of_star(original: Callable[..., Expr], parsed: Expr, connection: Any) -> Expr:
    """The columns of `create table ... (...) as select *`; fakesnow would describe the query in SQL of no dialect."""
    query = parsed.expression.unnest() if isinstance(parsed, exp.Create) and parsed.expression else None
    if isinstance(query, exp.Select) and query.is_star:
        described = connection.execute(f"describe {query.sql(dialect='duckdb')}").fetchall()
        query.set("expressions", [exp.column(column) for column, *_ in described])
    return original(parsed, connection)


@correction(fakesnow.arrow, "timestamp_to_sf_struct")
def keep_null_timestamps(original: Callable[..., pa.StructArray], timestamps: pa.ChunkedArray) -> pa.StructArray:
    """A NULL timestamp is sent as NULL, not as 1970-01-01."""
    sent = original(timestamps)
    return pa.StructArray.from_arrays(
        sent.flatten(), fields=list(sent.type), mask=timestamps.combine_chunks().is_null()
    )


async def log_in(request: Request) -> JSONResponse:
    """A wrong user or password is refused."""
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    credentials = json.loads(body)["data"]
    if (credentials.get("LOGIN_NAME"), credentials.get("PASSWORD")) == (USER, PASSWORD):
        return await fakesnow.server.login_request(request)
    message = "Incorrect username or password was specified."
    return JSONResponse({"data": None, "code": "390100", "message": message, "success": False})


def create_database() -> None:
    """A database has a schema PUBLIC; a session with a missing schema does not create it."""
    warehouse = fakesnow.server.shared_fs
    warehouse.duck_conn.execute(f"set global temp_directory = '{FOLDER}'")
    warehouse.connect(DATABASE, "PUBLIC")
    warehouse.create_database_on_connect = warehouse.create_schema_on_connect = False


def serve() -> None:
    """Answers on a free port of the loopback interface until standard input is closed."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # every answer would wait 40 ms otherwise
    routes = [Route("/session/v1/login-request", log_in, methods=["POST"]), *fakesnow.server.routes]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, log_level="warning"))

    def end_with_standard_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_standard_input, daemon=True).start()
    address = {"account": "fakesnow", "host": "127.0.0.1", "port": listening.getsockname()[1], "protocol": "http"}
    session = {"user": USER, "password": PASSWORD, "role": "SYSADMIN", "warehouse": "WH", "database": DATABASE}
    print(json.dumps(address | session), flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr)
    logging.getLogger("sqlglot").setLevel(
        logging.ERROR
    )  # it warns about every clause that DuckDB does not have, such as clustering
    gc.set_threshold(100_000)  # for speed: the parser creates thousands of long-lived objects
    create_database()
    serve()
