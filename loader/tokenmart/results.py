"""The result of a load: line counts by file, and the reasons of rejected lines."""

from dataclasses import dataclass, field


@dataclass
class FileResult:
    """The result of one file. `read`, `landed`, `skipped` and `rejected` are numbers of lines.

    landed + skipped + rejected = read. `requests` is the number of events that the lines have landed: a line can have
    several, and a rejected line can have some that have landed. `tool_calls` is the number of reports about tool calls,
    which also lines without requests can have. `is_named` is true if the user named this file itself.
    `bytes` is the number of decompressed bytes that were read, and `waiting` the number of bytes of a last line without
    a newline. `problem` is the reason why the file was not read, or not to its end. `is_foreign` is true if a rule left
    the file out, or if its format is unknown.
    """

    name: str
    is_named: bool = True
    format: str | None = None
    read: int = 0
    landed: int = 0
    skipped: int = 0
    rejected: int = 0
    requests: int = 0
    tool_calls: int = 0
    bytes: int = 0
    waiting: int = 0
    problem: str | None = None
    is_foreign: bool = False
    is_sample: bool = False


@dataclass
class LoadResult:
    """The result of a load.

    `reasons` is the number of rejected lines by reason, and `examples` the first of them, as file:line. `location` is
    the location of the warehouse. `samples` is the number of sample events in it, if the load has other files.
    """

    load_id: str | None = None
    location: str | None = None
    samples: int = 0
    files: list[FileResult] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """The sum over all files of a count, such as `read` or `landed`."""
        return sum(getattr(file, count) for file in self.files)
