"""A subscription and the messages that came for it and were not looked at yet."""

import json
import time


class Subscription:
    def __init__(self, connection, sid, subject, only=None):
        self.connection = connection
        self.sid = sid
        self.subject = subject
        # What does not contain this text is of other conversations and dropped.
        self.only = only
        self.messages = []
        # How the transcript calls it.
        self.label = ""

    @property
    def talk(self):
        return self.connection.talk

    def wants(self, message):
        if self.only is None:
            return True
        return self.only in message.subject + message.data.decode("utf-8", "replace")

    def wait(self, count=1, timeout=2.0):
        """Waits for so many messages and records nothing."""
        return self.talk.wait_for(
            lambda: len(self.messages) >= count, timeout, connection=self.connection
        )

    def take(self, count=1, timeout=2.0, extra=0.0, view=None, sort=False):
        """Waits for so many messages, then `extra` seconds for more, and records them, or `view`
        of them.
        """
        talk = self.talk
        if count:
            self.wait(count, timeout)
        if extra:
            self._listen(extra)
        many = len(self.messages) if extra or not count else count
        taken, self.messages = self.messages[:many], self.messages[many:]
        recorded = [talk.normalised(message) for message in taken]
        if view:
            recorded = [view(form) for form in recorded]
        if sort:
            recorded.sort(key=lambda entry: json.dumps(entry, sort_keys=True))
        if len(taken) < count:
            recorded.append(f"TIMEOUT ({len(taken)} of {count})")
        talk.step(f"{self.label} take {count}", recorded)
        return taken

    def quiet(self, seconds=0.12):
        """Records what comes in this time, which should be nothing."""
        self.connection.sync()
        self._listen(seconds)
        taken, self.messages = self.messages, []
        recorded = [self.talk.normalised(message) for message in taken]
        self.talk.step(f"{self.label} quiet", recorded)
        return taken

    def unsubscribe(self, sync=True):
        self.connection.write(f"UNSUB {self.sid}\r\n".encode())
        if sync:
            self.connection.sync()

    def _listen(self, seconds):
        end = time.time() + seconds
        self.connection.until(lambda: time.time() >= end, seconds)
