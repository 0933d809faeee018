"""Stands in for a ClickHouse cluster, "one", of one server: the engine has neither Keeper nor connections to others.

Statements on the cluster run here, and a Distributed table is another name of the table behind it. As on a real
cluster, rows cannot be deleted under that name.
"""

import re

ON_CLUSTER = re.compile(r"\bon\s+cluster\s+\"?one\"?(\s+sync\b)?", re.I)
ALL_REPLICAS = re.compile(r"clusterAllReplicas\(\"one\", (system\.\w+)\)")
DISTRIBUTED = re.compile(r"\bas\s+\S+\s+engine\s*=\s*Distributed\('one', '(\w+)', '(\w+)'.*\)", re.I | re.DOTALL)
REPLICATED = re.compile(r"\bengine\s*=\s*Replicated(MergeTree)?(\([^)]*\))?", re.I)
SYNC = re.compile(r"\bsystem\s+sync\s+replica\b.*", re.I | re.S)
DELETE = re.compile(r"(?:\s|/\*.*?\*/)*delete\s+from\s+(\S+)", re.I | re.S)


def on_one_server(statement: str) -> str:
    """Translates a statement for the cluster into one for the engine."""
    statement = ON_CLUSTER.sub("", statement)
    statement = ALL_REPLICAS.sub(r"(select *, 1 as _shard_num from \1)", statement)
    statement = SYNC.sub("select 1", statement)
    statement = DISTRIBUTED.sub(r"engine = Alias('\1', '\2')", statement)
    return REPLICATED.sub(lambda found: "engine = MergeTree" if found[1] else "", statement)
