"""A message as it came."""

import json
import re
import time


class Message:
    def __init__(self, subject, sid, reply, headers, data):
        self.subject = subject
        self.sid = sid
        self.reply = reply
        # The block as text, with its status line; nothing for a MSG.
        self.headers = None if headers is None else headers.decode("utf-8", "replace")
        self.data = data
        self.at = time.time()

    @property
    def status(self):
        """The number in the status line, where there is one."""
        found = re.match(r"NATS/1\.0 (\d+)", self.headers or "")
        return int(found.group(1)) if found else None

    def json(self):
        """The payload as JSON, and an empty object for what is none."""
        try:
            return json.loads(self.data)
        except ValueError:
            return {}
