"""Takes out of what a server sent the things that no two servers share: times, ids, random names.

All else stays as it came, key by key. The zero time stays too, since it means "not set".
"""

import base64
import hashlib
import json
import re

TIME = re.compile(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
ACK_TIME = re.compile(r"(\$JS\.ACK\.[^\s\"]*?)\.(\d{19})\.(\d+)")
FLOW_TOKEN = re.compile(r"(\$JS\.FC\.[^.\s\"]+\.[^.\s\"]+\.)[0-9A-Za-z]+")
IDENTITY = re.compile(r"(Nats-Stream-Identity: )[0-9A-Za-z]{8}")
SNAPSHOT = re.compile(r"(\$JS\.SNAPSHOT\.(?:ACK|RESTORE)\.[^.\s]+\.)[0-9A-Za-z]{22}")
# From 2.15 on the last word says which stream of that name it was.
SOURCE = re.compile(r"(Nats-Stream-Source: .*) [0-9A-Za-z]{8}(?=\r|$)")
PIN = re.compile(r"(Nats-Pin-Id: )[0-9A-Za-z]{22}")
NUID = re.compile(r"^[0-9A-Za-z]{22}$")
# Of the connection or the process, or numbers that others on the same server change.
DROPPED = {"client", "cluster"}
API_COUNTS = {"total", "errors", "inflight"}
# What says which server this is: only that it is said is compared.
VERSIONS = {"_nats.ver", "_nats.level"}
IDS = {"id", "pinned_client_id", "pinned_id"}
DURATIONS = {"ack_time", "pause_remaining", "active"}
# Longer texts are shown by their beginning and a digest.
TEXT_MAX = 700


class Normaliser:
    """`token` is the conversation's own, and is shown as '@'."""

    def __init__(self, token):
        self.token = token
        # Names that the server chose, and what they are shown as.
        self._aliases = []
        # What was sent: a name that occurs there was not chosen by the server.
        self.sent = []

    def alias(self, text, alias):
        """Shows a text as another from now on."""
        self._aliases.append((text, alias))

    def text(self, text):
        text = text.replace(self.token, "@")
        for name, alias in self._aliases:
            text = text.replace(name, alias)
        text = ACK_TIME.sub(r"\1.TIME.\3", text)
        text = TIME.sub("TIME", text)
        text = IDENTITY.sub(r"\1ID", text)
        text = PIN.sub(r"\1ID", text)
        text = SOURCE.sub(r"\1", text)
        text = SNAPSHOT.sub(r"\1ID", text)
        return FLOW_TOKEN.sub(r"\1TOKEN", text)

    def message(self, message):
        """The transcript's form of a message."""
        body = message.data
        parsed = message.json() if body[:1] == b"{" else None
        if parsed:
            self._note_chosen_name(parsed)
        form = {"subject": self.text(message.subject)}
        if message.reply:
            form["reply"] = self.text(message.reply)
        if message.headers is not None:
            form["headers"] = self._header_lines(message.headers)
        if parsed or body == b"{}":
            form["json"] = self.json(parsed)
        elif body:
            form["body"] = shortened(self.text(body.decode("utf-8", "replace")))
        return form

    def _header_lines(self, block):
        text = self.text(block)
        if not text.endswith("\r\n\r\n"):
            return [shortened(text + "<no end>")]
        return [shortened(line) for line in text[:-4].split("\r\n")]

    def json(self, value, key=None, path=()):
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list):
            return [self.json(item, key, path) for item in value]
        if isinstance(value, str):
            if key in ("request", "response") and value[:1] in "{[":
                return self._inner_json(value, key, path)
            return shortened(self.text(value))
        return value

    def _object(self, value, path):
        form = {}
        for key, item in value.items():
            if isinstance(item, dict) and key in DROPPED or (key == "server" and not path):
                continue
            if key == "api" and isinstance(item, dict):
                item = {k: v for k, v in item.items() if k not in API_COUNTS}
            form[self.text(key)] = self.json(self._value(key, item, path), key, (*path, key))
        return form

    def _value(self, key, item, path):
        if key in DURATIONS and isinstance(item, (int, float)) and item > 0:
            return "DURATION"
        if key in VERSIONS or (key == "level" and path[-1:] == ("api",)):
            return "VERSION"
        if key in IDS and isinstance(item, str) and NUID.match(item):
            return "ID"
        encoded = key == "hdrs" or (key == "data" and "message" in path)
        if encoded and isinstance(item, str):
            return _decoded(item)
        return item

    def _inner_json(self, text, key, path):
        try:
            return self.json(json.loads(text), key, path)
        except ValueError:
            return shortened(self.text(text))

    def _note_chosen_name(self, answer):
        """A consumer made without a name gets one from the server."""
        kind, name = answer.get("type"), answer.get("name")
        if not isinstance(kind, str) or not kind.endswith("consumer_create_response"):
            return
        if not isinstance(name, str) or len(name) < 6:
            return
        if any(name in text for text in self.sent) or any(name == n for n, _ in self._aliases):
            return
        self.alias(name, f"<name{len(self._aliases) + 1}:{len(name)}>")


def shortened(text):
    if len(text) <= TEXT_MAX:
        return text
    digest = hashlib.md5(text.encode()).hexdigest()[:8]
    return f"{text[:60]}...length={len(text)} md5={digest}"


def _decoded(text):
    try:
        return "base64:" + base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except ValueError:
        return text
