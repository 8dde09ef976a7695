"""Asks the server for a process that is this program, and ends as that process does."""

import marshal
import os
import signal
import socket
import sys

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))  # noqa: PTH100, PTH120
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# What `multiprocessing` starts beside a process, and what loads next to nothing.
SMALL = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
# Modules that are run as programs and load what the server has.
LARGE = ("dvc", "mlflow", "unfreeze", "uvicorn")
# What a node of Ray starts; its agents end with it.
RAY_AGENTS = ("/ray/dashboard/agent.py", "/ray/_private/runtime_env/agent/main.py")
RAY = (*RAY_AGENTS, "/ray/dashboard/dashboard.py", "/ray/_private/workers/default_worker.py")


def run_real_if_small() -> None:
    """Become the real interpreter where that starts as soon."""
    given = [argument for argument in sys.argv[1:] if argument != "-B"]
    script = next((argument for argument in given if argument != "-u"), "")
    if script.endswith(RAY):
        sys.argv[1:] = given[given.index(script) :]
        return
    is_large = {
        "-c": lambda code: not any(name in code for name in SMALL),
        "-m": lambda module: module.split(".")[0] in LARGE,
    }
    if len(given) < 2 or given[0] not in is_large or not is_large[given[0]](given[1]):
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    sys.argv[1:] = given


def wait_for_end(server: socket.socket) -> bytes:
    """Return how the process ended; nothing where it is an agent and the node that started this client has ended."""
    is_agent = len(sys.argv) > 1 and sys.argv[1].endswith(RAY_AGENTS)
    server.settimeout(1 if is_agent else None)
    node = os.getppid()
    while os.getppid() == node or not is_agent:
        try:
            return server.recv(4)
        except TimeoutError:
            continue
    return b""


def list_descriptors() -> list[int]:
    """Return the open files that this process was started with."""
    found = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    there = []
    for number in found:
        try:
            os.fstat(number)
        except OSError:
            continue
        if number <= 2 or os.get_inheritable(number):
            there.append(number)
    return there


def main() -> None:
    """Ask, wait, and pass on signals meanwhile."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119
    if name == "python":
        run_real_if_small()
    descriptors = list_descriptors()
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{HERE}/socket")
    request = marshal.dumps(
        {
            "name": name,
            "arguments": sys.argv[1:],
            "environment": dict(os.environb),
            "folder": os.getcwd(),  # noqa: PTH109
            "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
            "umask": os.umask(0),
            "descriptors": descriptors,
        }
    )
    for number in FORWARDED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
    socket.send_fds(server, [len(request).to_bytes(8, "big")], descriptors)
    server.sendall(request)
    # Who reads what this process has written hears of its end when the other one ends.
    for number in descriptors:
        os.close(number)
    status = wait_for_end(server)
    if len(status) < 4:
        os._exit(70)
    code = os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
