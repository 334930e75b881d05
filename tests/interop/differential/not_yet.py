"""Differences that are to go: features that are not there yet. This list is meant to be empty."""

from rule import Rule

RULES = [
    Rule("INFO of the account tells no level yet", r"", r"api\.level: theirs=VERSION ours=absent"),
    Rule("metadata tells no levels yet", r"", r"metadata\._nats\.\S+: theirs=\S+ ours=absent"),
    Rule(
        "a request cannot name the level that it needs yet",
        r"^api_api_level_header$",
    ),
    Rule(
        "`_nats.req.level` is not added yet, which makes metadata a byte too long",
        r"^(stream|consumer)_config_meta_big$",
    ),
]
