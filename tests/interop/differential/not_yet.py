"""Differences that are to go: features that are not there yet. This list is meant to be empty."""

from rule import Rule

FAST = "there are no batches that are answered as they come yet"

RULES = [
    # Features of streams.
    Rule(FAST, r"^((batch|counter|schedule|mirror)_config_batched|stream_field_allow_batched)$"),
]
