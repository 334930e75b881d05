"""Differences that are to go: features that are not there yet. This list is meant to be empty."""

from rule import Rule

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
    Rule("messages have no time to live of their own yet", r"^ttl_"),
    Rule("messages cannot be scheduled yet", r"^schedule_"),
    Rule("subjects are not transformed yet", r"^transform_"),
    Rule("nothing is published again yet", r"^republish_"),
    Rule("there are no counters yet", r"^counter_"),
    Rule("there are no atomic batches yet", r"^batch_"),
    Rule("there are no mirrors and sources yet", r"^(mirror|source)_"),
    Rule("there are no snapshots and restorations yet", r"^(snapshot|restore)_"),
    # Features of consumers.
    Rule("there are no priority groups yet", r"^group_"),
    Rule("consumers cannot be reset yet", r"^(reset_|request_field_reset|fields_unknown)"),
    # What shows in all configurations.
    Rule("fields of features that are not there are refused", r"^(stream|consumer)_field_"),
    Rule("fields of features that are not there are refused", r"^generated_\w+_config_"),
]
