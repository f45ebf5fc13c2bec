"""Processes and what the kernel says of them: CPUs, CPU time, memory, ports."""

import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")


def find(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def output(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return done.stdout + done.stderr


def many_files():
    """For thousands of connections, of the load and of each gateway."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def start(command, log, cpus):
    """Starts a process that may run on these CPUs only."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            [str(part) for part in command],
            stdout=file,
            stderr=file,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )


def wait_for(name, process, log, is_up):
    for _ in range(6000):
        if process.poll() is not None:
            break
        if is_up():
            return
        time.sleep(0.01)
    sys.exit(f"{name} does not start:\n{log.read_text()[-3000:]}")


def end(process):
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid):
    """A process and its children: nginx has a process for each worker."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pids):
    """What processes spent, in their own code and in the kernel for it."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory(pids):
    """Bytes in memory, pages that processes share counted once (in equal parts)."""
    roll = lambda pid: pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(re.search(r"^Pss:\s+(\d+) kB", roll(pid), re.M)[1]) for pid in pids) * 1024


def established(port):
    """How many connections there are at a port."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def load_average():
    return pathlib.Path("/proc/loadavg").read_text().split()[0]


def is_open(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
