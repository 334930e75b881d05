"""Differences that are to go: features that are not there yet. This list is meant to be empty."""

from rule import Rule

FAST = "there are no batches that are answered as they come yet"

RULES = [
    # Levels, as every answer with a configuration shows them.
    Rule("INFO of the account tells no level yet", r"", r"api\.level: theirs=VERSION ours=absent"),
    Rule("metadata tells no levels yet", r"", r"metadata\._nats\.\S+: theirs=\S+ ours=absent"),
    Rule("a request cannot name the level that it needs yet", r"^(api_api_)?level_"),
    Rule(
        "`_nats.req.level` is not added yet, which makes metadata a byte too long",
        r"^(stream|consumer)_config_meta_big$",
    ),
    # Features of streams.
    Rule(FAST, r"^((batch|counter|schedule|mirror)_config_batched|stream_field_allow_batched)$"),
]
