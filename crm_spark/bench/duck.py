"""The same contract in DuckDB's SQL: an oracle for the numbers and a rival for the seconds (`pip install duckdb`).

For calls that tell every attribute; what is null where an operator tells nothing is Spark's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crm_spark.customer.calls import NIGHT_ENDS, NIGHT_STARTS
from crm_spark.tables.middle import CONTACT_CIRCLE, VOICE_SUMMARY
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

_USER = "month, user_id"


def build(calls: Sequence[str], register: Sequence[str], out: Path, threads: int) -> None:
    """Write voice_summary.parquet and contact_circle.parquet below `out` from Parquet files of calls and register."""
    import duckdb

    with duckdb.connect() as duck:
        duck.execute(f"SET threads = {threads}")
        duck.execute(f"CREATE VIEW calls AS FROM read_parquet({list(calls)}, hive_partitioning = true)")
        duck.execute(f"CREATE VIEW register AS FROM read_parquet({list(register)})")
        for table, sql in ((VOICE_SUMMARY, _voice()), (CONTACT_CIRCLE, _circle())):
            wanted = ", ".join(table.columns)
            duck.execute(f"COPY (SELECT {wanted} FROM ({sql})) TO '{out / table.name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def _voice() -> str:
    out, into, far = "direction = 'out'", "direction = 'in'", f"direction = 'out' AND call_kind IN {CALL_KINDS[1:]}"
    minutes = {
        **{f"{kind}_out": f"{out} AND call_kind = '{kind}'" for kind in CALL_KINDS},
        **{f"{kind}_in": f"{into} AND call_kind = '{kind}'" for kind in CALL_KINDS if kind != "local_long_distance"},
        **{f"{kind}_roaming": f"roaming_kind = '{kind}'" for kind in ROAMING_KINDS if kind != "none"},
        "vpn": "is_vpn", "vpn_roaming": "is_vpn AND roaming_kind <> 'none'", "on_net": "is_on_net", "off_net": "NOT is_on_net",
        "long_distance": far, "out": out, "in": into, "total": "true",
    }  # fmt: skip
    sums = [f"sum(CASE WHEN {rule} THEN seconds ELSE 0 END) / 60.0::DOUBLE AS {name}_minutes" for name, rule in minutes.items()]
    zeros = ", ".join(f"coalesce({name}_minutes, 0.0) AS {name}_minutes" for name in minutes)
    fee = f"sum(CASE WHEN {far} THEN round_even(fee_yuan::DOUBLE * 10000, 0)::BIGINT END)::BIGINT / 10000.0::DOUBLE AS fee"
    return f"""
        WITH sums AS (SELECT {_USER}, {", ".join(sums)}, count_if({out}) AS made, count_if({into}) AS received, {fee},
            bit_count(bit_or(1::BIGINT << (dayofmonth(started_at) - 1))) AS days FROM calls GROUP BY ALL)
        SELECT city, month, user_id, {zeros}, coalesce(made, 0) AS calls_out, coalesce(received, 0) AS calls_in, coalesce(days, 0) AS voice_active_days,
            CASE WHEN long_distance_minutes > 0 THEN {_rounded("fee / long_distance_minutes")} END AS long_distance_unit_price_yuan
        FROM register LEFT JOIN sums USING ({_USER})"""


def _circle() -> str:
    hour = "hour(started_at)"
    shares = {
        "calls_per_peer": "peer_calls / peers", "reciprocity_share": "both_ways / peers", "top1_peer_share": "top1 / peer_calls",
        "top3_peer_share": "top3 / peer_calls", "on_net_call_share": "on_net / all_calls", "nocturnal_call_share": "night / all_calls",
        "weekend_call_share": "weekend / all_calls", "vpn_calls_per_peer": "CASE WHEN in_vpn > 0 THEN vpn_calls / in_vpn END",
        "peer_entropy": "CASE WHEN peer_calls > 0 THEN greatest(ln(peer_calls) - nano / 1000000000::DOUBLE / peer_calls, 0.0) END",
    }  # fmt: skip
    return f"""
        WITH users AS (SELECT {_USER}, count(*)::DOUBLE AS all_calls, count_if(is_on_net)::DOUBLE AS on_net,
                count_if({hour} >= {NIGHT_STARTS} OR {hour} < {NIGHT_ENDS})::DOUBLE AS night, count_if(dayofweek(started_at) IN (0, 6))::DOUBLE AS weekend
            FROM calls GROUP BY ALL),
        pairs AS (SELECT {_USER}, peer_id, count(*) AS c, count_if(direction = 'out') AS o, count_if(direction = 'in') AS i, count_if(is_vpn) AS v
            FROM calls WHERE peer_id IS NOT NULL GROUP BY ALL),
        circle AS (SELECT {_USER}, count(*)::DOUBLE AS peers, count_if(o > 0 AND i > 0)::DOUBLE AS both_ways, sum(c)::DOUBLE AS peer_calls,
                sum(round_even(c * ln(c) * 1000000000, 0)::BIGINT)::DOUBLE AS nano, max(c)::DOUBLE AS top1, list_sum(max(c, 3))::DOUBLE AS top3,
                count_if(v > 0)::DOUBLE AS in_vpn, sum(v)::DOUBLE AS vpn_calls FROM pairs GROUP BY ALL),
        far AS (SELECT {_USER}, peer_province, sum(seconds) AS s FROM calls
            WHERE direction = 'out' AND call_kind IN {CALL_KINDS[1:]} AND peer_province IS NOT NULL AND seconds > 0 GROUP BY ALL),
        top AS (SELECT {_USER}, first(peer_province ORDER BY s DESC, peer_province) AS top_long_distance_province FROM far GROUP BY ALL)
        SELECT city, month, user_id, coalesce(peers, 0)::BIGINT AS peers, coalesce(in_vpn, 0)::BIGINT AS vpn_peers, top_long_distance_province,
            {", ".join(f"{_rounded(value)} AS {name}" for name, value in shares.items())}
        FROM register LEFT JOIN users USING ({_USER}) LEFT JOIN circle USING ({_USER}) LEFT JOIN top USING ({_USER})"""


def _rounded(value: str) -> str:
    return f"round_even(({value}) * 1000000, 0) / 1000000 + 0.0"
