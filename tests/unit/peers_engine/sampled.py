"""Samples of statistics, put together after the recordings (Linux) and after moby's sources (Windows)."""

from __future__ import annotations

from typing import Any

READ = "2026-11-27T12:00:00.000000000Z"
NO_DISK = {"io_service_bytes_recursive": None, "io_serviced_recursive": None}
LINUX: dict[str, Any] = {
    "read": READ,
    "preread": "0001-01-01T00:00:00Z",
    "pids_stats": {"current": 3, "limit": 18446744073709551615},
    "blkio_stats": NO_DISK,
    "num_procs": 0,
    "storage_stats": {},
    "cpu_stats": {
        "cpu_usage": {"total_usage": 5_000_000_000, "percpu_usage": [3_000_000_000, 2_000_000_000]},
        "system_cpu_usage": 5_544_390_000_000,
        "online_cpus": 2,
        "throttling_data": {"periods": 0},
    },
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
    "memory_stats": {"usage": 540672, "max_usage": 3571712, "limit": 25276510208},
}
WINDOWS: dict[str, Any] = {
    "read": READ,
    "num_procs": 4,
    "storage_stats": {"read_count_normalized": 2, "read_size_bytes": 49152, "write_size_bytes": 8192},
    "cpu_stats": {"cpu_usage": {"total_usage": 30_000_000, "usage_in_kernelmode": 10, "usage_in_usermode": 20}},
    "memory_stats": {"commitbytes": 90, "commitpeakbytes": 180, "privateworkingset": 45},
    "networks": {"ab12": {"rx_bytes": 7, "tx_bytes": 8, "rx_packets": 1}},
}
