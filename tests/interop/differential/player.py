"""Plays conversations against one server binary, many at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

from conversation import Conversation, TooLong
from server import Server

# A server that dies is started again for the others, but not for ever.
DEATHS_MAX = 20


class Player:
    """`at_once` conversations share a server; `alone_at_once` more have one of their own."""

    def __init__(self, binary, seed, at_once=24, alone_at_once=4):
        self.binary = binary
        self.seed = seed
        self.at_once = at_once
        self.alone_at_once = alone_at_once
        self._lock = threading.Lock()
        self._shared = None
        self._deaths = 0

    def play(self, scripts):
        """The transcripts by name."""
        # What takes long is begun first.
        scripts = sorted(scripts, key=lambda script: not script.slow)
        alone = [script for script in scripts if script.own_server]
        together = [script for script in scripts if not script.own_server]
        try:
            with (
                ThreadPoolExecutor(self.at_once) as many,
                ThreadPoolExecutor(self.alone_at_once) as few,
            ):
                started = [(script, few.submit(self._play_alone, script)) for script in alone]
                started += [(script, many.submit(self._play_shared, script)) for script in together]
                return {script.name: future.result() for script, future in started}
        finally:
            if self._shared is not None:
                self._shared.close()
                self._shared = None

    def _play_alone(self, script):
        server = Server(self.binary, script.conf)
        try:
            return self._converse(script, server)
        finally:
            server.close()

    def _play_shared(self, script):
        server = self._shared_server()
        steps = self._converse(script, server)
        if not server.is_alive():
            steps.append({"done": "THE SERVER DIED", "came": []})
        return steps

    def _shared_server(self):
        with self._lock:
            if self._shared is None:
                self._shared = Server(self.binary)
            elif not self._shared.is_alive() and self._deaths < DEATHS_MAX:
                self._deaths += 1
                self._shared.close()
                self._shared = Server(self.binary)
            return self._shared

    def _converse(self, script, server):
        number = script.number
        seed = None if number is None else self.seed * 1000 + number
        talk = Conversation(script.name, server, seed)
        try:
            script.play(talk, *script.arguments)
        except TooLong:
            talk.steps.append({"done": "TOOK TOO LONG", "came": []})
        except Exception as error:  # A script that trips over an answer is a difference, too.
            what = talk.shown(f"{type(error).__name__}: {error}")
            talk.steps.append({"done": "FAILED", "came": [what]})
        talk.finish()
        return talk.steps
