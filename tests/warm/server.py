"""Loads libraries once and forks a process for each client; see the package's description.

It imports nothing of this project, and executes no operation of TensorFlow: that would start threads, and a fork has
those of its parent no more.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import marshal
import multiprocessing.spawn
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

LIBRARIES = (
    "altair", "cv2", "dvc.cli.parser", "dvc.repo", "dvc.utils.hydra", "dvc_data.hashfile.db.local", "fastapi",
    "flask", "fsspec", "great_expectations", "h5py", "hydra", "imagehash", "jinja2", "keras", "keras_tuner",
    "matplotlib.pyplot", "mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "multiprocessing.forkserver", "networkx", "openvino", "pandas", "PIL.Image", "psutil", "pyarrow.dataset",
    "pyarrow.parquet", "pydantic", "rich.console", "scipy.fftpack", "scipy.optimize", "scipy.stats",
    "sklearn.decomposition", "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection",
    "sklearn.neighbors", "sklearn.pipeline", "sklearn.tree", "statsmodels.stats.proportion", "tensorflow",
    "uvicorn",
)  # fmt: skip
# What Ray and S3 load besides; the extra `cluster` may not be installed. Each process loads Ray itself, which reads
# its environment when it is loaded.
EXTRA = ("filelock", "msgpack", "s3fs", "wcwidth")
# Above those that a client can have.
SPARE = 512
INSTALLED = Path(sys.executable).parent


@dataclass(frozen=True)
class Request:
    """What a client was started with.

    Args:
        name: Its program.
        arguments: Its arguments.
        environment: Its environment.
        folder: Its working folder.
        umask: Permissions that files it makes lack.
        blocked: Signals that it does not take.
        descriptors: Numbers of its open files.
        moved: Numbers of the same files here.
        connection: Number of the connection to it.
    """

    name: str
    arguments: list[str]
    environment: dict[bytes, bytes]
    folder: str
    umask: int
    blocked: list[int]
    descriptors: list[int]
    moved: list[int]
    connection: int


class Server:
    """Forks for clients, and tells each how its process ended."""

    def __init__(self, folder: Path, owner: int) -> None:
        self.folder = folder
        self.owner = owner
        self.clients: dict[int, socket.socket] = {}

    def serve(self) -> Request | None:
        """Work until the owner has ended; in a process that was forked for a client, return what it is to do."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / "socket.new"))
        listener.listen(64)
        woken, wakes = os.pipe()
        for end in (woken, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        (self.folder / "socket.new").rename(self.folder / "socket")
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while Path(f"/proc/{self.owner}").exists():
                for key, _ in selector.select(1):
                    if key.fileobj is listener and (asked := self._fork(listener.accept()[0])):
                        break
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                    self._tell_ended()
                    continue
                # In the process of a client: nothing of the server's stays open.
                signal.set_wakeup_fd(-1)
                for end in (listener, *self.clients.values()):
                    end.close()
                os.close(woken)
                os.close(wakes)
                break
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                return None
        return asked

    def _fork(self, client: socket.socket) -> Request | None:
        """Fork for a client; return what the new process is to do, and None in this one."""
        with client:
            size, descriptors, *_ = socket.recv_fds(client, 8, 250)
            content = b""
            while len(content) < int.from_bytes(size, "big"):
                content += client.recv(1 << 16)
            process = os.fork()
            if not process:
                moved = [fcntl.fcntl(number, fcntl.F_DUPFD, SPARE) for number in descriptors]
                connection = fcntl.fcntl(client.fileno(), fcntl.F_DUPFD_CLOEXEC, SPARE)
            for number in descriptors:
                os.close(number)
            if not process:
                return Request(**marshal.loads(content), moved=moved, connection=connection)  # noqa: S302
            self.clients[process] = client.dup()
        return None

    def _tell_ended(self) -> None:
        while self.clients:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            client = self.clients.pop(process)
            with contextlib.suppress(OSError), client:
                client.sendall(status.to_bytes(4, "big"))


def become(request: Request, base: list[str], programs: Path) -> None:
    """Take over what the client was started with, and run its program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, target in zip(request.moved, request.descriptors, strict=True):
        os.dup2(number, target)
        os.close(number)
    # What it starts ends with it, as where a whole session is killed.
    os.setpgid(0, 0)
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environb.clear()
    os.environb.update(request.environment)
    threading.Thread(target=follow, args=[request.connection], daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    repeat_start()
    sys.executable = str(programs / "python")
    multiprocessing.spawn.set_executable(sys.executable)
    end(functools.partial(run, request, base))


def run(request: Request, base: list[str]) -> None:
    """Run the program as Python does with the client's arguments and PYTHONPATH."""
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if request.name == "python" and request.arguments[0] == "-m":
        _, module_name, *arguments = request.arguments
        sys.argv[:], sys.path[:] = [module_name, *arguments], [str(Path.cwd()), *own, *base]
        runpy.run_module(module_name, run_name="__main__", alter_sys=True)
    elif request.name == "python" and request.arguments[0] != "-c":
        script = request.arguments[0]
        if script.endswith(("/agent.py", "/agent/main.py")):
            # It ends when its parent is no longer the node of this number.
            os.environ["RAY_RAYLET_PID"] = str(os.getppid())
        sys.argv[:], sys.path[:] = request.arguments, [str(Path(script).parent), *own, *base]
        runpy.run_path(script, run_name="__main__")
    elif request.name == "python":
        _, code, *arguments = request.arguments
        sys.argv[:], sys.path[:] = ["-c", *arguments], ["", *own, *base]
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(compile(code, "<string>", "exec"), vars(module))  # noqa: S102
    else:
        program = INSTALLED / request.name
        sys.argv[:], sys.path[:] = [str(program), *request.arguments], [str(program.parent), *own, *base]
        runpy.run_path(str(program), run_name="__main__")


def repeat_start() -> None:
    """Do what Python and libraries do once a process, from the environment or from chance."""
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    importlib.invalidate_caches()
    tempfile.tempdir = None
    importlib.import_module("numpy").random.seed()
    if {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"} & os.environ.keys():
        importlib.import_module("coverage").process_startup()


def end(program: Callable[[], None]) -> NoReturn:
    """Run a program to its end, and then all that Python runs at the end but the release of each object.

    That one would touch, and so copy, all the memory that processes share.
    """
    code: object = 0
    try:
        program()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code if isinstance(code, int) else 0)


def follow(client: int) -> None:
    """Take the signals that the client gets, and end at once, with all that was started, when it is killed."""
    while number := os.read(client, 1):
        os.kill(os.getpid(), number[0])
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Load, serve, and in a fork do what a client asks for."""
    base = sys.path[1:]
    folder, owner = Path(sys.argv[1]), int(sys.argv[2])
    gc.disable()
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in EXTRA:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    request = Server(folder, owner).serve()
    if request is not None:
        become(request, base, folder)


if __name__ == "__main__":
    main()
