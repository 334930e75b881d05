"""A server process with a store of its own, on a free port of 127.0.0.1."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

# How long a start and an end may take on a busy machine.
START_MAX_S = 15
STARTS_MAX = 5
END_MAX_S = 8

_ports = set()
_ports_lock = threading.Lock()


class Server:
    """Started when made. A file name with "nats-server" in it gets that server's flags.

    `conf` is what its configuration file says.
    """

    def __init__(self, binary, conf=""):
        self.binary = binary
        self.conf = conf
        self.directory = tempfile.mkdtemp(prefix="differential-")
        self.log = os.path.join(self.directory, "log")
        self.port = None
        self.process = None
        self.start()

    def _command(self):
        if is_reference(self.binary):
            store = ["-js", "-sd", os.path.join(self.directory, "js")]
            more = ["-c", self._conf_file()] if self.conf else []
            return [self.binary, "-a", "127.0.0.1", "-p", str(self.port), *store, *more]
        store = ["--store", os.path.join(self.directory, "midge.redb")]
        more = ["--config", self._conf_file()] if self.conf else []
        return [self.binary, "--host", "127.0.0.1", "--port", str(self.port), *store, *more]

    def _conf_file(self):
        path = os.path.join(self.directory, "conf")
        with open(path, "w") as file:
            file.write(self.conf)
        return path

    def start(self):
        """Starts, or starts again with the same store, and waits until it greets.

        Each time it gets another port, which somebody else may take before it does.
        """
        for _ in range(STARTS_MAX):
            self.port = _free_port()
            if self._launch():
                return
        raise RuntimeError(f"{self.binary} did not start: {self._last_words()}")

    def _launch(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + START_MAX_S
        while not _greets(self.port):
            if not self.is_alive() or time.monotonic() > deadline:
                self.stop()
                return False
            time.sleep(0.01)
        return self.is_alive()

    def _last_words(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-800:]

    def stop(self):
        """Asks it to end. Whether it did, or else had to be killed."""
        if not self.is_alive():
            return True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_MAX_S)
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def is_reference(binary):
    return "nats-server" in os.path.basename(os.path.realpath(binary))


def _free_port():
    """A port that no other server of this run was given."""
    with _ports_lock:
        while True:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                port = listener.getsockname()[1]
            if port not in _ports:
                _ports.add(port)
                return port


def _greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"INFO"
    except OSError:
        return False
