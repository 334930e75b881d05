"""The conversations there are. A module of `conversations/` adds its own with these decorators."""

from dataclasses import dataclass, field
from typing import Callable

# All of them, by name.
ALL = {}

STORAGES = [("memory", "memory"), ("file", "file")]


@dataclass
class Script:
    name: str
    play: Callable
    # What it is called with beside the conversation.
    arguments: tuple = ()
    # Plays on a server of its own: it restarts it, or looks at all of its account.
    own_server: bool = False
    # What that server's configuration says.
    conf: str = ""
    # Takes seconds: begun first.
    slow: bool = False
    # The number of a generated one.
    number: int | None = field(default=None)


def conversation(play=None, *, own_server=False, slow=False, conf=""):
    """One conversation, called as its function is."""

    def add(play):
        alone = own_server or bool(conf)
        _add(Script(play.__name__, play, own_server=alone, slow=slow, conf=conf))
        return play

    return add if play is None else add(play)


def each(prefix, cases, *, own_server=()):
    """One conversation for each case, a tuple of its tag and what the function is given.

    `own_server` lists the tags of those that need one.
    """

    def add(play):
        for tag, *arguments in cases:
            alone = tag in own_server
            _add(Script(f"{prefix}_{tag}", play, tuple(arguments), own_server=alone))
        return play

    return add


def generated(prefix, count):
    """So many conversations that the function makes up, from the number and the seed."""

    def add(play):
        for number in range(count):
            _add(Script(f"{prefix}_{number:02}", play, number=number))
        return play

    return add


def numbered(values):
    """Cases that have a number for a tag."""
    return [(f"{number:02}", value) for number, value in enumerate(values)]


def _add(script):
    if script.name in ALL:
        raise ValueError(f"two conversations are called {script.name}")
    ALL[script.name] = script
