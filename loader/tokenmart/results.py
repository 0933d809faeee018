"""The result of a load: the counts of each file, and why lines were rejected."""

from dataclasses import dataclass, field


@dataclass
class FileResult:
    """The result of one file: landed + skipped + rejected = read.

    `is_named` is true if the user named this file itself; `waiting` counts the bytes of a last line without a newline;
    `problem` says why the file was not, or not completely, read; `is_foreign` means that a rule left the file out, or
    that its format is unknown.
    """

    name: str
    is_named: bool = True
    format: str | None = None
    read: int = 0
    landed: int = 0
    skipped: int = 0
    rejected: int = 0
    bytes: int = 0
    waiting: int = 0
    problem: str | None = None
    is_foreign: bool = False
    is_sample: bool = False


@dataclass
class LoadResult:
    """The result of a load. `reasons` counts rejected lines; `places` has the first file and line of each reason.

    `location` is the warehouse; `samples` counts the sample events in it, if other files were loaded.
    """

    load_id: str | None = None
    location: str | None = None
    samples: int = 0
    files: list[FileResult] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """The sum of one count (read, landed, skipped, rejected, bytes) over the files."""
        return sum(getattr(file, count) for file in self.files)
