"""Processes and statistics of a simulated container: plausible figures in the shape of each engine release."""

from __future__ import annotations

from roadstead.lab.guests import records
from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.records import Record

PS_EF = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
PS_AUX = ("USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND")
WINDOWS_TOP = ("Name", "PID", "CPU", "Private Working Set")
"""Moby's ``daemon/top_windows.go``."""
ZERO_CPU = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
ZERO_THROTTLING = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
BLKIO = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def processes(engine: Engine, container: Container, ps_args: str) -> Record:
    """`/containers/{id}/top` of a running container."""
    command = " ".join(container.image.command)
    pid = str(1000 + int(container.id[:4], 16))
    if engine.profile.exit_code_everywhere:
        return {"Processes": [[f"1 0        {command}"]], "Titles": ["PID   USER     COMMAND"]}
    if engine.profile.is_windows:
        row = [container.image.command[0].rpartition("\\")[2], pid, "00:00:00.140", "6.291MB"]
        return {"Processes": [row], "Titles": list(WINDOWS_TOP)}
    if "aux" in ps_args:
        row = ["root", pid, "0.1", "0.0", "2268", "1576", "?", "Ss", "08:00", "0:00", command]
        return {"Processes": [row], "Titles": list(PS_AUX)}
    row = ["root", pid, "1", "0", "08:00", "?", "00:00:00", command]
    return {"Processes": [row], "Titles": list(PS_EF)}


def statistics(engine: Engine, container: Container, *, one_shot: bool) -> Record:
    """One sample of `/containers/{id}/stats`; a stopped container has a zeroed one."""
    if not container.is_running:
        return {**_names(engine, container), **_zeroed()}
    now_ns = engine.now()
    if engine.profile.is_windows:
        return _names(engine, container) | _windows(container, now_ns)
    written: Record = {
        "read": records.stamp(now_ns),
        "preread": records.NEVER if one_shot else records.stamp(now_ns - 10**9),
        "pids_stats": {"current": 1},
        "blkio_stats": dict.fromkeys(BLKIO),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(container, now_ns),
        "precpu_stats": _no_cpu() if one_shot or engine.profile.podman else _cpu(container, now_ns - 10**9),
        "memory_stats": {"usage": records.USED_BYTES, "limit": records.MEMORY_BYTES},
    }
    if engine.profile.exit_code_everywhere:
        written["networks"] = {}
    if one_shot and not engine.profile.one_shot_names:
        return written
    return written | _names(engine, container)


def _windows(container: Container, now_ns: int) -> Record:
    """A sample of Windows (moby's ``daemon/stats_windows.go``): times in units of 100 ns, and its own memory."""
    times = {} if container.image.isolation == "hyperv" else {"usage_in_kernelmode": 100, "usage_in_usermode": 200}
    used = (now_ns - container.started_ns) // 100
    return {
        "read": records.stamp(now_ns),
        "preread": records.NEVER,
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(BLKIO),
        "num_procs": 2,
        "storage_stats": {"read_count_normalized": 12, "read_size_bytes": 49152},
        "cpu_stats": {"cpu_usage": {"total_usage": used // 100, **times}, "throttling_data": ZERO_THROTTLING},
        "precpu_stats": _no_cpu(),
        "memory_stats": {
            "commitbytes": records.USED_BYTES,
            "commitpeakbytes": 2 * records.USED_BYTES,
            "privateworkingset": records.USED_BYTES // 2,
        },
    }


def _names(engine: Engine, container: Container) -> Record:
    if engine.profile.podman:
        return {"name": container.name, "Id" if engine.profile.exit_code_everywhere else "id": container.id}
    names: Record = {"name": f"/{container.name}", "id": container.id}
    return names | ({"os_type": engine.profile.ostype} if engine.profile.api >= (1, 52) else {})


def _cpu(container: Container, now_ns: int) -> Record:
    used = (now_ns - container.started_ns) // 100
    return {
        "cpu_usage": {"total_usage": used, "usage_in_kernelmode": used // 4, "usage_in_usermode": used - used // 4},
        "system_cpu_usage": 2 * (now_ns % 10**15),
        "online_cpus": 2,
        "throttling_data": ZERO_THROTTLING,
    }


def _no_cpu() -> Record:
    return {"cpu_usage": ZERO_CPU, "throttling_data": ZERO_THROTTLING}


def _zeroed() -> Record:
    return {
        "read": records.NEVER,
        "preread": records.NEVER,
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(BLKIO),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _no_cpu(),
        "precpu_stats": _no_cpu(),
        "memory_stats": {},
    }
