"""Words that many conversations use."""

# Durations are in nanoseconds.
SECOND = 10**9
MS = 10**6

EXPECTED_STREAM = "Nats-Expected-Stream"
EXPECTED_LAST = "Nats-Expected-Last-Sequence"
EXPECTED_OF_SUBJECT = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
EXPECTED_ID = "Nats-Expected-Last-Msg-Id"
MSG_ID = "Nats-Msg-Id"
ROLLUP = "Nats-Rollup"

# Where push consumers of most conversations deliver.
PUSHED = "_INBOX.@.push"
PUSH = {"deliver_subject": PUSHED}
