"""What a conversation can do, and the transcript of what came of it.

Each thing done is a step: what was done, and the normalised messages that came. In all texts that
a conversation sends '@' stands for a token of its own, which is the name of its stream and the
first token of its subjects, and transcripts show '@' again. So many conversations share a server.
A real '@' is written '@@'.
"""

import hashlib
import json
import time

from connection import Connection
from normalise import Normaliser

# A conversation that takes longer is ended where it is.
DURATION_MAX_S = 25
# After this many waits in vain the rest of a conversation waits shortly.
MISSES_MAX = 4
SHORT_WAIT_S = 0.3
# Longer texts are cut in what a step says was done.
SHOWN_MAX = 200

CONSUMER_NUMBERS = (
    "delivered",
    "ack_floor",
    "num_ack_pending",
    "num_redelivered",
    "num_waiting",
    "num_pending",
    "push_bound",
    "paused",
    "pause_remaining",
    "priority_groups",
)


class TooLong(Exception):
    pass


class Conversation:
    def __init__(self, name, server, seed=None):
        self.name = name
        self.server = server
        # Of a generated conversation.
        self.seed = seed
        digest = hashlib.md5(name.encode()).hexdigest()[:7]
        # Of letters only: a number could be taken for one that means something.
        self.token = "Q" + "".join(chr(ord("A") + int(digit, 16)) for digit in digest)
        self.steps = []
        self.connections = []
        self._normaliser = Normaliser(self.token)
        self._inboxes = 0
        self._unrecorded = 0
        self._misses = 0
        self._deadline = time.time() + DURATION_MAX_S
        self._client = None

    # Texts.

    def expand(self, text):
        """The text as it is sent: '@' is the token, '@@' is '@'."""
        return "@".join(part.replace("@", self.token) for part in text.split("@@"))

    def shown(self, text):
        return self._normaliser.text(text)

    def normalised(self, message):
        if isinstance(message, str):
            return self.shown(message)
        return self._normaliser.message(message)

    def show_as(self, text, alias):
        """What a server made up, such as an id, and what transcripts call it from now on."""
        self._normaliser.alias(text, alias)

    def note_sent(self, text):
        """Names in it were not chosen by the server."""
        self._normaliser.sent.append(self.expand(text))

    def body_bytes(self, body):
        """Bytes as they are, other texts expanded, and what is neither as JSON."""
        if body is None:
            return b""
        if isinstance(body, bytes):
            return body
        if isinstance(body, str):
            return self.expand(body).encode()
        text = json.dumps(body)
        self.note_sent(text)
        return self.expand(text).encode()

    def header_bytes(self, headers):
        """A block as it is, or one made of pairs."""
        if isinstance(headers, bytes):
            return headers
        pairs = headers.items() if isinstance(headers, dict) else headers
        lines = "".join(f"{key}: {value}\r\n" for key, value in pairs)
        return self.expand(f"NATS/1.0\r\n{lines}\r\n").encode()

    def show(self, body, headers=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        elif isinstance(body, bytes):
            body = body.decode("latin-1")
        text = _cut(body or "")
        if headers is None:
            return text
        block = headers.decode("latin-1") if isinstance(headers, bytes) else headers
        return f"headers={_cut(json.dumps(block))} {text}"

    # The transcript.

    def step(self, done, came):
        self.steps.append({"done": self.shown(done), "came": came})
        if time.time() > self._deadline:
            raise TooLong

    def sleep(self, seconds):
        time.sleep(seconds)

    def patience(self, timeout):
        return timeout if self._misses < MISSES_MAX else min(timeout, SHORT_WAIT_S)

    def wait_for(self, condition, timeout, connection=None):
        """Reads until the condition holds. Whether it does."""
        holds = (connection or self.client).until(condition, self.patience(timeout))
        if not holds:
            self._misses += 1
        return holds

    def finish(self):
        """Records what came and was not looked at, and closes the connections."""
        for connection in self.connections:
            if not connection.closed:
                connection.sync(2)
            for sub in connection.subscriptions.values():
                if sub.messages:
                    left = [self.normalised(message) for message in sub.messages]
                    self.steps.append({"done": self.shown(f"left on {sub.label}"), "came": left})
            if connection.events:
                came = [self.shown(event) for event in connection.events]
                self.steps.append({"done": f"events of {connection.name}", "came": came})
            connection.close()

    # Connections.

    def connect(self, **options):
        connection = Connection(self, f"client{len(self.connections) + 1}", **options)
        self.connections.append(connection)
        return connection

    @property
    def client(self):
        """The connection that is used where none is named."""
        if self._client is None or self._client.closed:
            self._client = self.connect()
        return self._client

    def subscribe(self, *words, **options):
        return self.client.subscribe(*words, **options)

    def next_inbox(self, recorded):
        """Those of requests that are not recorded have numbers of their own."""
        if not recorded:
            self._unrecorded += 1
            return f"_INBOX.@.unrecorded.{self._unrecorded}"
        self._inboxes += 1
        return f"_INBOX.@.{self._inboxes}"

    # Requests.

    def request(
        self,
        subject,
        body=None,
        headers=None,
        timeout=2.0,
        connection=None,
        view=None,
        count=1,
        extra=0.0,
        recorded=True,
    ):
        """Publishes with an inbox and records what comes there, `view` of it if there is one."""
        connection = connection or self.client
        inbox = connection.inbox(recorded)
        connection.send(subject, body, headers, reply=inbox.subject)
        self.wait_for(lambda: len(inbox.messages) >= count, timeout, connection=connection)
        if extra:
            end = time.time() + extra
            connection.until(lambda: time.time() >= end, extra)
        came, inbox.messages = inbox.messages, []
        forms = [self.normalised(message) for message in came]
        if view:
            forms = [view(form) for form in forms]
        if len(came) < count:
            forms.append(f"TIMEOUT ({len(came)} of {count})")
        if recorded:
            self.step(f"request {self.expand(subject)} {self.show(body, headers)}", forms)
        inbox.unsubscribe(sync=False)
        return came[0] if came else None

    def expect_silence(self, subject, body=None, headers=None, seconds=0.15):
        """A request that nobody answers."""
        connection = self.client
        inbox = connection.inbox()
        connection.send(subject, body, headers, reply=inbox.subject)
        connection.sync()
        end = time.time() + seconds
        connection.until(lambda: time.time() >= end or inbox.messages, seconds)
        came, inbox.messages = inbox.messages, []
        shown = self.show(body, headers)
        forms = [self.normalised(message) for message in came]
        self.step(f"request {self.expand(subject)} {shown} (expecting silence)", forms)
        inbox.unsubscribe(sync=False)

    def api(self, subject, body=None, headers=None, **options):
        """A request to $JS.API, and its answer as JSON."""
        message = self.request(f"$JS.API.{subject}", body, headers, **options)
        return message.json() if message else {}

    # Streams.

    def create_stream(self, name="@", whole=False, **config):
        """A memory stream of `name.>`; a field that is None is left out.

        Only whether it was made is recorded, if not the whole answer.
        """
        config = stream_config(name, config)
        return self.api(f"STREAM.CREATE.{name}", config, view=None if whole else only_error)

    def update_stream(self, name="@", whole=True, **config):
        config = stream_config(name, config)
        return self.api(f"STREAM.UPDATE.{name}", config, view=None if whole else only_error)

    def stream_info(self, body=None, name="@", view=None, **options):
        return self.api(f"STREAM.INFO.{name}", body, view=view or stream_state, **options)

    def publish(self, subject, body=b"x", headers=None, **options):
        """A publish that asks for an ack."""
        message = self.request(subject, body, headers, **options)
        time.sleep(0.005)
        return message

    def fill(self, count, subject="@.a", body="m%d", headers=None):
        """So many publishes, of whose acks the last is recorded."""
        client = self.client
        inbox = client.inbox()
        for number in range(1, count + 1):
            numbered = body % number if "%d" in body else body
            where = subject % number if "%d" in subject else subject
            client.send(where, numbered, headers, reply=inbox.subject)
        in_time = inbox.wait(count, 4)
        forms = [self.normalised(message) for message in inbox.messages[-1:]]
        inbox.messages = []
        # Consumers of nats-server learn of new messages a little later.
        time.sleep(0.02)
        shown = body if len(body) < 60 else f"({len(body)} bytes)"
        self.step(f"fill {count} {subject} {shown}", forms + ([] if in_time else ["TIMEOUT"]))
        inbox.unsubscribe(sync=False)

    def trickle(self, count, subject="@.a", body="m"):
        for _ in range(count):
            self.fill(1, subject, body)
            time.sleep(0.03)

    # Consumers.

    def create_consumer(self, name="c", stream="@", whole=False, action=None, **config):
        """A durable with explicit acks; a field that is None is left out."""
        config = consumer_config(config, {"durable_name": name, "ack_policy": "explicit"})
        body = {"stream_name": stream, "config": config}
        if action is not None:
            body["action"] = action
        view = None if whole else consumer_numbers
        return self.api(f"CONSUMER.CREATE.{stream}.{name}", body, view=view)

    def create_ephemeral(self, stream="@", whole=False, **config):
        """A consumer that the server names. Its name."""
        body = {
            "stream_name": stream,
            "config": consumer_config(config, {"ack_policy": "explicit"}),
        }
        view = None if whole else consumer_numbers
        return self.api(f"CONSUMER.CREATE.{stream}", body, view=view).get("name", "none")

    def consumer_info(self, name="c", stream="@", **options):
        return self.api(f"CONSUMER.INFO.{stream}.{name}", view=consumer_numbers, **options)

    def pull(self, name="c", body="", stream="@", connection=None, headers=None, settle=0.03):
        """Asks for messages. The inbox where they come."""
        connection = connection or self.client
        inbox = connection.inbox()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        connection.send(subject, body, headers, reply=inbox.subject)
        connection.sync()
        inbox.label = self.shown(f"pull({name} {self.show(body, headers)})->{inbox.subject}")
        time.sleep(settle)
        return inbox

    def fetch(self, name="c", body="", count=1, stream="@", timeout=2.0, extra=0.0, headers=None):
        """Asks for messages and takes so many answers."""
        inbox = self.pull(name, body, stream, settle=0, headers=headers)
        return inbox.take(count, timeout=timeout, extra=extra)

    def ack(self, message, payload=b"", timeout=2.0):
        """Acks with a request for an answer: a message, or the first of several, if any."""
        if isinstance(message, list):
            message = message[0] if message else None
        if message is None or not message.reply:
            self.step("nothing to ack", [])
            return None
        return self.request(message.reply, payload, timeout=timeout)


# Configurations.


def stream_config(name, fields):
    config = {"name": name, "subjects": [f"{name}.>"], "storage": "memory", **fields}
    return {key: value for key, value in config.items() if value is not None}


def consumer_config(fields, base=None):
    base = base or {"durable_name": "c", "ack_policy": "explicit"}
    return {key: value for key, value in {**base, **fields}.items() if value is not None}


# Views: the part of an answer that is recorded.


def only_error(form):
    if "json" not in form:
        return form
    answer = form["json"]
    return {"error": answer["error"]} if "error" in answer else "ok"


def stream_state(form):
    answer = form.get("json", {})
    if "json" not in form or "error" in answer:
        return only_error(form)
    return {key: answer[key] for key in ("state", "total", "offset", "limit") if key in answer}


def consumer_numbers(form):
    answer = form.get("json", {})
    if "json" not in form or "error" in answer:
        return only_error(form)
    return {key: _pair(answer[key]) for key in CONSUMER_NUMBERS if key in answer}


def without_pending(form):
    """A delivered message without the count of those behind it, which others may change"""
    if "reply" not in form:
        return form
    return {**form, "reply": form["reply"].rsplit(".", 1)[0]}


def _pair(value):
    """The two sequences of `delivered` and `ack_floor` as one text."""
    if not isinstance(value, dict):
        return value
    active = " active" if "last_active" in value else ""
    return f"{value.get('consumer_seq')}/{value.get('stream_seq')}{active}"


def _cut(text):
    return text if len(text) <= SHOWN_MAX else f"{text[:160]}...({len(text)})"
