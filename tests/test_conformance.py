"""One corpus, loaded by the real loader and built by the real models, gives the same marts on every warehouse."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT
from corpus import write_corpus, write_halves
from targets import OTHERS, Engine, engine

Row = tuple[Any, ...]
Marts = dict[str, list[Row]]

# what tells of the runs, not of the requests
OF_THE_RUN = {"batch_id", "load_id", "loaded_at", "first_usage_date", "last_usage_date"}
FLOAT_TOLERANCE = 1e-9


def models() -> dict[str, list[tuple[str, str]]]:
    """The columns of every model that says something of requests, each with its type in the contract."""
    found = {}
    for path in sorted(PROJECT.glob("models/*/*.yml")):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            columns = [(column["name"], column["data_type"]) for column in model["columns"]]
            found[model["name"]] = [column for column in columns if column[0] not in OF_THE_RUN]
    del found["loads"]
    assert len(found) == 16
    return found


def read(on: Engine) -> Marts:
    """All rows of all models, in the order of what identifies them."""
    marts = {}
    for model, columns in models().items():
        names = ", ".join(name for name, _ in columns)
        # a day that was emptied stays among the request_days, with none
        condition = "where requests > 0" if model == "request_days" else ""
        rows = [tuple(map(plain, row)) for row in on.query(f"select {names} from {{marts}}.{model} {condition}")]
        marts[model] = sorted(rows, key=lambda row: [repr(value) for value in row if not isinstance(value, float)])
    return marts


def plain(value: Any) -> Any:
    """A value without what only its driver adds; money keeps its twelve places."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, Decimal):
        assert value == value.quantize(Decimal("1e-12"))
        return value.quantize(Decimal("1e-12"))
    return value


def differences(found: Marts, expected: Marts) -> Iterator[str]:
    """Every value that is not the same, or as a float not within the tolerance."""
    for model, columns in models().items():
        if len(found[model]) != len(expected[model]):
            yield f"{model} has {len(found[model])} rows, not {len(expected[model])}"
        for here, there in zip(found[model], expected[model], strict=False):
            for (name, _), value, right in zip(columns, here, there, strict=True):
                if isinstance(right, float) and isinstance(value, float):
                    is_same = abs(value - right) <= FLOAT_TOLERANCE * max(1.0, abs(right))
                else:
                    is_same = type(value) is type(right) and value == right
                if not is_same:
                    yield f"{model}.{name} is {value!r}, not {right!r}, in {here[:3]}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the whole corpus, and of the first half of its lines."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "whole")
    write_halves(folder / "whole", folder / "half")
    return folder / "whole", folder / "half"


def build_in_halves(on: Engine, corpus: tuple[Path, Path]) -> None:
    """Loads and builds the first half, then what the whole has more: every file has grown."""
    whole, half = corpus
    on.run("run", half, "--max-rejects", "100")
    on.run("run", whole, "--max-rejects", "100")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, corpus: tuple[Path, Path]) -> Marts:
    """DuckDB's marts of the corpus, loaded and built in two halves."""
    with engine("duckdb", tmp_path_factory.mktemp("duckdb")) as on:
        build_in_halves(on, corpus)
        return read(on)


def test_the_reference_is_what_one_build_of_everything_gives(
    tmp_path: Path, corpus: tuple[Path, Path], expected: Marts
) -> None:
    with engine("duckdb", tmp_path) as on:
        on.run("run", corpus[0], "--max-rejects", "100")
        assert list(differences(read(on), expected)) == []


@pytest.mark.parametrize("name", OTHERS)
def test_the_marts_are_those_of_duckdb(name: str, tmp_path: Path, corpus: tuple[Path, Path], expected: Marts) -> None:
    with engine(name, tmp_path) as on:
        build_in_halves(on, corpus)
        assert list(differences(read(on), expected)) == []
        on.run("build", "--full-refresh")
        assert list(differences(read(on), expected)) == []
