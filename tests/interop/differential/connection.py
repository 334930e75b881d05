"""A client connection on a bare socket: it sends what no client would, and keeps all that comes."""

import json
import select
import socket
import time

from message import Message
from subscription import Subscription

CONNECT = {
    "verbose": False,
    "pedantic": False,
    "headers": True,
    "no_responders": True,
    "echo": True,
    "lang": "differential",
    "version": "1",
    "protocol": 1,
}
READ_MAX = 1 << 18


class Connection:
    """Connects when made. `options` are those of CONNECT."""

    def __init__(self, talk, name, /, **options):
        self.talk = talk
        self.name = name
        self.subscriptions = {}
        # What came beside messages and housekeeping: errors, the end of the connection.
        self.events = []
        # Messages, PONG, +OK and errors in the order in which they came.
        self.order = []
        self.info = None
        self.closed = False
        self._unread = b""
        self._pongs = 0
        self._socket = socket.create_connection(("127.0.0.1", talk.server.port), 3)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.write(b"CONNECT " + json.dumps({**CONNECT, **options}).encode() + b"\r\n")
        self.sync()

    # Sending.

    def write(self, data):
        if self.closed:
            return
        try:
            self._socket.sendall(data)
        except OSError:
            self._ended()

    def send(self, subject, body=b"", headers=None, reply=None):
        """A publish of which the transcript says nothing."""
        talk = self.talk
        body = talk.body_bytes(body)
        words = [talk.expand(subject)] + ([talk.expand(reply)] if reply else [])
        if headers is None:
            line = f"PUB {' '.join(words)} {len(body)}\r\n"
            self.write(line.encode() + body + b"\r\n")
        else:
            block = talk.header_bytes(headers)
            line = f"HPUB {' '.join(words)} {len(block)} {len(block) + len(body)}\r\n"
            self.write(line.encode() + block + body + b"\r\n")

    def publish(self, subject, body=b"", headers=None, reply=None, count=1, recorded=True):
        """A publish without a request for an answer, or one that is only stored (`recorded`)."""
        if not recorded and reply is None:
            self._store(subject, body, headers, count)
            return
        for _ in range(count):
            self.send(subject, body, headers, reply)
        self.sync()
        # A PONG does not mean that nats-server has stored it.
        time.sleep(0.03)
        if recorded:
            to = f" reply {reply}" if reply else ""
            times = f" x{count}" if count > 1 else ""
            shown = self.talk.show(body, headers)
            self.talk.step(f"{self.name}: publish {subject}{to} {shown}{times}", [])

    def _store(self, subject, body, headers, count):
        inbox = self.inbox()
        for _ in range(count):
            self.send(subject, body, headers, inbox.subject)
        if not inbox.wait(count, 1.0):
            self.talk.step(f"no ack for {subject}", [])
        inbox.messages = []
        inbox.unsubscribe(sync=False)

    def subscribe(self, subject, queue=None, only=None, sync=True):
        talk = self.talk
        sid = str(len(self.subscriptions) + 1)
        subject = talk.expand(subject)
        sub = Subscription(self, sid, subject, talk.expand(only) if only else None)
        self.subscriptions[sid] = sub
        group = f" {talk.expand(queue)}" if queue else ""
        self.write(f"SUB {subject}{group} {sid}\r\n".encode())
        if sync:
            self.sync()
        group = f" queue={queue}" if queue else ""
        sub.label = f"{self.name}: subscription({talk.shown(subject)}{group})"
        return sub

    def inbox(self, recorded=True):
        """A subscription to a subject that nobody else has."""
        return self.subscribe(self.talk.next_inbox(recorded), sync=False)

    def close(self):
        if not self.closed:
            self.closed = True
            self._socket.close()

    # Receiving.

    def until(self, condition, timeout):
        """Reads until the condition holds or the time is over. Whether it holds."""
        end = time.time() + timeout
        while not condition():
            left = end - time.time()
            if left <= 0 or self.closed:
                return condition()
            self._read(left)
        return True

    def sync(self, timeout=5):
        """Waits until the server has read all that was sent, and this all that it sent by then."""
        wanted = self._pongs + 1
        self.write(b"PING\r\n")
        return self.until(lambda: self._pongs >= wanted, timeout)

    def _read(self, timeout):
        try:
            ready, _, _ = select.select([self._socket], [], [], max(0, timeout))
            if not ready:
                return
            data = self._socket.recv(READ_MAX)
        except (OSError, ValueError):
            data = b""
        self._unread += data
        while self._take_line():
            pass
        if not data:
            self._ended()

    def _ended(self):
        if not self.closed:
            self.close()
            self.events.append("CLOSED")
            self.order.append("CLOSED")

    def _take_line(self):
        """Takes one line, with its payload, off what was read. Whether it was all there."""
        end = self._unread.find(b"\r\n")
        if end < 0:
            return False
        line = self._unread[:end]
        words = line.split()
        verb = words[0].upper() if words else b""
        if verb in (b"MSG", b"HMSG"):
            return self._take_message(words, verb == b"HMSG", end + 2)
        self._unread = self._unread[end + 2 :]
        self._line(verb, line)
        return True

    def _take_message(self, words, has_headers, start):
        size = int(words[-1])
        end = start + size
        if len(self._unread) < end + 2:
            return False
        body, tail = self._unread[start:end], self._unread[end : end + 2]
        self._unread = self._unread[end + 2 :]
        if tail != b"\r\n":
            self.events.append(f"a message without its end: {words}")
        headers = None
        sizes = 1
        if has_headers:
            sizes = 2
            split = int(words[-2])
            headers, body = body[:split], body[split:]
        reply = words[3:-sizes]
        reply = reply[0].decode("utf-8", "replace") if reply else ""
        subject, sid = words[1].decode("utf-8", "replace"), words[2].decode()
        self._deliver(Message(subject, sid, reply, headers, body))
        return True

    def _deliver(self, message):
        sub = self.subscriptions.get(message.sid)
        if sub is None:
            self.events.append("a message for an unknown subscription")
        elif not sub.wants(message):
            return
        else:
            sub.messages.append(message)
        self.order.append(message)

    def _line(self, verb, line):
        if verb == b"PING":
            self.write(b"PONG\r\n")
        elif verb == b"PONG":
            self._pongs += 1
            self.order.append("PONG")
        elif verb == b"INFO":
            self.info = json.loads(line[5:])
        elif verb == b"+OK":
            self.order.append("+OK")
        else:
            text = line.decode("utf-8", "replace")
            self.events.append(text)
            self.order.append(text)
