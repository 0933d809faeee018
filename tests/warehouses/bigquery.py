# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "bqemulator==1.4.0",
#     "duckdb-extension-avro==1.5.5",
#     "duckdb-extension-spatial==1.5.5",
#     "duckdb-extensions==1.5.5",
#     "duckdb==1.5.5",
#     "numpy>=2",
#     # the compiled sqlglot takes half the time
#     "sqlglot[c]",
# ]
# ///
"""An emulated BigQuery on loopback: `bigquery.py FOLDER` keeps its data in memory, and other files below FOLDER.

It translates SQL to DuckDB. Each correction below describes what BigQuery does and the emulator alone does not.
SQL that BigQuery refuses may pass here: bigquery_analyzer.py checks that.
"""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlglot
from duckdb_extensions import import_extension
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.generators.bigquery import BigQueryGenerator
from sqlglot.generators.duckdb import DuckDBGenerator

with redirect_stdout(sys.stderr):  # the emulator prints when it is imported
    from bqemulator.api.dependencies import AppContext
    from bqemulator.catalog import ddl_sync
    from bqemulator.catalog.memory_repository import MemoryCatalogRepository
    from bqemulator.catalog.models import TableMeta
    from bqemulator.config import LogLevel, Settings
    from bqemulator.jobs import executor
    from bqemulator.scripting import interpreter
    from bqemulator.scripting.ast import SetStmt
    from bqemulator.scripting.interpreter import ScriptInterpreter
    from bqemulator.server import EmulatorServer
    from bqemulator.sql import builtin_udfs, translator
    from bqemulator.sql.rewriter import aggregate_variants
    from bqemulator.storage import arrow_bridge, type_map
    from bqemulator.storage.engine import DuckDBEngine
    from bqemulator.storage.sql_identifiers import quoted_table_ref

# one for each emulator, because a target is known by the name of its project: two must not share a working folder
PROJECT = f"test-project-{os.getpid()}"
PLACES = {exp.DType.DECIMAL: 9, exp.DType.BIGDECIMAL: 12}  # of a decimal type without parameters


# modules that parse a statement to look at it, and do not change the tree
READERS = {
    f"bqemulator.{name}"
    for name in ("catalog.ddl_sync", "jobs.ddl_result", "jobs.executor", "jobs.routine_ddl", "sql.catalog_schema")
}
parse_once = lru_cache(maxsize=8)(sqlglot.parse_one)


def share_trees() -> None:
    """Parses a statement once for all steps that only look at it; the emulator parses it about 20 times."""
    parse = sqlglot.parse_one

    def parse_one(sql: str, **options: Any) -> exp.Expression:
        reads_only = sys._getframe(1).f_globals.get("__name__") in READERS
        return (parse_once if reads_only else parse)(sql, **options)

    sqlglot.parse_one = parse_one


def parsed(sql: str) -> exp.Expression | None:
    """The syntax tree of a statement in BigQuery's SQL; None if it does not parse, which the emulator will report.

    Others see the same tree: copy it before you change it.
    """
    try:
        return parse_once(sql, read="bigquery")
    except SqlglotError:
        return None


def keep_parameters_of_types() -> None:
    """A cast to BIGNUMERIC(38, 12) rounds to 12 places; a bare NUMERIC has 9 places, and a bare BIGNUMERIC has 38.

    DuckDB has 38 digits in all, so here a bare BIGNUMERIC has 12 places, as money does.
    """
    del BigQueryGenerator.TRANSFORMS[exp.Cast]
    for data_type, places in PLACES.items():
        DuckDBGenerator.TYPE_PARAM_SETTINGS[data_type] = ((38, places), (38, 38))


def divide_decimals_exactly() -> None:
    """The quotient of NUMERICs or BIGNUMERICs is a decimal, rounded half away from zero; DuckDB's is a DOUBLE.

    It is exact, with 12 places at most, if it is cast to a decimal type. Otherwise the emulator gives it 9 places.
    """
    context = Context(prec=100, rounding=ROUND_HALF_UP)

    def is_decimal_quotient(cast: exp.Cast) -> bool:
        return cast.to.this in PLACES and isinstance(cast.this.unnest(), exp.Div)

    def quotient(dividend: str, divisor: str, places: int) -> Decimal:
        if not Decimal(divisor):
            raise ZeroDivisionError("Division by zero")
        return context.quantize(context.divide(Decimal(dividend), Decimal(divisor)), Decimal(1).scaleb(-places))

    register_functions = builtin_udfs.register_builtin_udfs

    def register(connection: Any) -> None:
        register_functions(connection)
        connection.create_function("exact_quotient", quotient, ["VARCHAR", "VARCHAR", "INTEGER"], "DECIMAL(38, 12)")

    refuse_division_by_zero = translator.rewrite_division_by_zero

    def rewrite(sql: str) -> str:
        statement = parsed(sql)
        if not statement or not any(map(is_decimal_quotient, statement.find_all(exp.Cast))):
            return refuse_division_by_zero(sql)
        statement = statement.copy()
        for cast in filter(is_decimal_quotient, list(statement.find_all(exp.Cast))):
            division = cast.this.unnest()
            numbers = [exp.cast(number, exp.DType.TEXT) for number in (division.this, division.expression)]
            digits = [int(parameter.name) for parameter in cast.to.expressions]
            places = digits[1] if len(digits) == 2 else 0 if digits else PLACES[cast.to.this]
            cast.set("this", exp.func("exact_quotient", *numbers, exp.Literal.number(min(places, 12))))
        return refuse_division_by_zero(statement.sql("bigquery"))

    builtin_udfs.register_builtin_udfs = register
    translator.rewrite_division_by_zero = rewrite


def declare_columns_of_query() -> None:
    """CREATE TABLE (columns) AS query accepts any query and maps its columns by position; NOT NULL is not kept here."""
    create = DuckDBGenerator.create_sql

    def create_sql(self: DuckDBGenerator, node: exp.Create) -> str:
        if node.kind == "TABLE" and isinstance(node.this, exp.Schema) and node.expression:
            columns = [column for column in node.this.expressions if isinstance(column, exp.ColumnDef)]
            names = [column.this.copy() for column in columns]
            body = node.expression.unnest().subquery(exp.TableAlias(this="declared", columns=names))
            casts = [exp.cast(exp.column(column.this.copy()), column.kind).as_(column.name) for column in columns]
            node = node.copy()
            node.set("this", node.this.this)
            node.set("expression", exp.select(*casts).from_(body))
        return create(self, node)

    translator.rewrite_create_table_schema_ctas = lambda sql: sql
    DuckDBGenerator.create_sql = create_sql


def load_gzipped_json() -> None:
    """A load job recognizes a gzipped file by its content; DuckDB uses the file name, which an upload does not have."""

    def load(path: str, table: str, context: Any) -> None:
        with Path(path).open("rb") as file:
            compression = "gzip" if file.read(2) == b"\x1f\x8b" else "none"
        context.engine.execute(f"COPY {table} FROM ? (FORMAT JSON, COMPRESSION {compression})", [path])

    executor._LOAD_FORMAT_HANDLERS["NEWLINE_DELIMITED_JSON"] = load


def leave_nulls_out_of_distinct() -> None:
    """ARRAY_AGG(DISTINCT x IGNORE NULLS) tests whether x is null, not whether DISTINCT x is."""
    find_value = aggregate_variants._filter_target

    def find(operand: exp.Expression) -> exp.Expression:
        value = find_value(operand)
        return value.expressions[0] if isinstance(value, exp.Distinct) else value

    aggregate_variants._filter_target = find


def spread_struct_over_variables() -> None:
    """SET (a, b) = (SELECT AS STRUCT ...) assigns a field of the struct to each variable."""

    async def execute(self: ScriptInterpreter, statement: SetStmt) -> None:
        value = await self._eval_expr_scalar(statement.source_expr)
        values = list(value.values()) if isinstance(value, dict) else [value]
        for name, field in zip(statement.targets, values, strict=True):
            self._frames.set(name, field)

    ScriptInterpreter._exec_set = execute


def alter_tables() -> None:
    """ALTER TABLE accepts several actions at once, and the API and INFORMATION_SCHEMA show them immediately."""
    run = DuckDBEngine.execute
    sync = ddl_sync.sync_created_table

    def execute(self: DuckDBEngine, sql: str, parameters: list[Any] | None = None) -> Any:
        if sql.startswith("ALTER TABLE"):
            statement = sqlglot.parse_one(sql, read="duckdb")
            *actions, last = statement.args["actions"]
            for action in actions:
                statement.set("actions", [action])
                run(self, statement.sql("duckdb"))
            statement.set("actions", [last])
            sql = statement.sql("duckdb")
        return run(self, sql, parameters)

    def sync_table(sql: str, project: str, context: AppContext) -> None:
        sync(sql, project, context)
        statement = parsed(sql)
        if isinstance(statement, exp.Alter):
            name = ddl_sync._split_target(statement.this, project)
            table = context.catalog.get_table(*name)
            if table:
                schema = ddl_sync._introspect_schema(*name, context)
                context.catalog.update_table(table.model_copy(update={"schema_": schema}))

    DuckDBEngine.execute = execute
    executor.sync_created_table = interpreter.sync_created_table = sync_table


def add_columns_of_schema() -> None:
    """An update of a table through the API adds the new columns of its schema."""
    update = MemoryCatalogRepository.update_table

    def update_table(self: MemoryCatalogRepository, table: TableMeta) -> TableMeta:
        name = (table.project_id, table.dataset_id, table.table_id)
        existing = self.get_table(*name)
        known = {field.name for field in existing.schema_.fields} if existing else set()
        added = [field.model_dump() for field in table.schema_.fields if field.name not in known]
        for column, data_type in type_map.bq_schema_to_duckdb_columns(added):
            add = f'ADD COLUMN IF NOT EXISTS "{column}" {data_type}'
            self._engine.execute(f"ALTER TABLE {quoted_table_ref(*name)} {add}")
        return update(self, table)

    MemoryCatalogRepository.update_table = update_table


def start_iso_weeks_on_monday() -> None:
    """DATE_TRUNC(date, ISOWEEK) is the Monday, a date; DuckDB does not know the unit."""
    truncate = DuckDBGenerator.datetrunc_sql

    def datetrunc_sql(self: DuckDBGenerator, node: exp.DateTrunc) -> str:
        if node.unit.name.upper() != "ISOWEEK":
            return truncate(self, node)
        day = self.sql(node.this)
        return f"CAST({day} - (ISODOW({day}) - 1) * INTERVAL 1 DAY AS DATE)"

    DuckDBGenerator.datetrunc_sql = datetrunc_sql


def escape_quotes_in_json_paths() -> None:
    """A path such as '$."it\\'s"' is text, whose quotes stay escaped when it is written again."""
    for generator in (BigQueryGenerator, DuckDBGenerator):
        write = generator.jsonpath_sql

        def jsonpath_sql(self: Any, node: exp.JSONPath, write: Any = write) -> str:
            path = write(self, node)
            return path[:1] + path[1:-1].replace("'", self._escaped_quote_end) + path[-1:]

        generator.jsonpath_sql = jsonpath_sql


def report_bignumeric() -> None:
    """A column with more than 9 decimal places is a BIGNUMERIC in the schema of its table."""
    type_name = arrow_bridge.arrow_type_to_bq_type_name

    def name_of(arrow_type: Any) -> str:
        return "BIGNUMERIC" if getattr(arrow_type, "scale", 0) > 9 else type_name(arrow_type)

    arrow_bridge.arrow_type_to_bq_type_name = name_of
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = "DECIMAL(38, 12)"


CORRECTIONS: tuple[Callable[[], None], ...] = (
    share_trees,
    keep_parameters_of_types,
    divide_decimals_exactly,
    declare_columns_of_query,
    load_gzipped_json,
    leave_nulls_out_of_distinct,
    spread_struct_over_variables,
    alter_tables,
    add_columns_of_schema,
    report_bignumeric,
    start_iso_weeks_on_monday,
    escape_quotes_in_json_paths,
)


async def serve(folder: Path) -> None:
    """Serves on free ports until standard input is closed; prints the address when it is ready."""
    settings = Settings(
        rest_port=0,
        grpc_port=0,
        default_project_id=PROJECT,
        upload_staging_dir=folder / "uploads",
        log_level=LogLevel.WARNING,
    )
    server = EmulatorServer(settings)
    await server.start()
    try:
        print(json.dumps({"api_endpoint": server.rest_url, "project": PROJECT}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await server.stop()


def main(folder: Path) -> None:
    """Runs the server."""
    # DuckDB keeps extensions below HOME, and temporary files below the working folder
    os.environ["HOME"] = str(folder)
    os.chdir(folder)
    for extension in ("spatial", "avro"):
        import_extension(extension)
    for correct in CORRECTIONS:
        correct()
    # syntax trees are many objects that live briefly
    gc.set_threshold(100_000, 50, 1000)
    asyncio.run(serve(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
