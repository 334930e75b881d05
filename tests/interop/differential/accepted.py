"""Differences that are meant, each with its reason. What is listed here stays."""

from rule import Rule

DEAD_LETTERS = (
    "a message that was given up goes to the dead letters and is settled with that: the floor "
    "passes it and nothing of it is pending or redelivered, while nats-server keeps it for ever"
)
FLOOR = (
    "the ack floor counts first deliveries up to it: it neither goes back nor past what still "
    "waits for an ack; only the number of deliveries differs"
)
NO_WAIT = (
    "a request that does not wait gets its 404 when max_ack_pending is reached; nats-server lets "
    "it wait, and its client with it"
)
PENDING = (
    "what is pending is what will come; nats-server counts messages before the start, or counts "
    "wrongly after a purge or a restart"
)
READ_ALL = (
    "reads of all subjects (`>`): nats-server finds nothing where the last message was deleted, "
    "or where up_to_seq is behind the end of a file stream"
)
RECEIVERS = (
    "who listens by a wildcard is a receiver of a push consumer, and who listens already is one "
    "at once"
)
RULES = [
    # What is wrong with a request.
    Rule(
        "what is wrong with JSON is told in other words than those of Go; the code is the same",
        r"",
        r"description: theirs=invalid JSON: .* ours=invalid JSON: ",
    ),
    Rule(
        "so it is in the status of a request for messages",
        r"^(next|group_request)_",
        r"theirs=NATS/1\.0 400 Bad Request - .* ours=NATS/1\.0 400 Bad Request - ",
    ),
    Rule(
        "a key whose value is null is an absent key, also where Go hands the null to a field that "
        "is one of a few words",
        r"^(stream|consumer|request)_field_",
        step=r":null\b",
    ),
    Rule(
        "that copies on other servers are not offered is told before that the stream is missing",
        r"^stream_update_nonexistent$",
        r"theirs=(404|stream not found|10059) ours=(500|replicas > 1 .*|10074)$",
    ),
    Rule(
        "the first_seq of 1 that an update gives to a stream that was never written to is shown",
        r"^generated_stream_config_",
        r"state\.first_seq: theirs=0 ours=1$",
    ),
    Rule(
        "a name of 256 bytes is too long by the text of nats-server itself, which takes it for a "
        "consumer of a memory stream only",
        r"^consumer_name_06$",
    ),
    Rule(
        "consumers that mirrors and sources make for themselves (`direct`) are not offered to "
        "clients, and nothing is taken and then ignored",
        r"^(consumer_config_direct_push|consumer_direct_cfg_hidden"
        r"|consumer_of_servers_direct(_fc)?)$",
    ),
    Rule(
        "which stream it was is told to who sources it from 2.15 on",
        r"sourcing",
        r"^headers: theirs=\[.NATS/1\.0., .Nats-Stream-Identity: ID.\] ours=absent$",
    ),
    Rule(
        "on a work queue an update may not take a consumer's filter away while there are others, "
        "or messages would go to two",
        r"^workqueue_consumer_rules$",
    ),
    Rule(
        "where an update says nothing of where to publish again, nothing is published; nats-server "
        "makes it `>` and publishes under subjects that are cut off",
        r"^republish_(no_destination|destination_empty)$",
        r"republish\.dest: theirs=> ours=$",
    ),
    Rule(
        "a time to live of more seconds than a number can count is none; nats-server takes it for "
        "some other time",
        r"^ttl_(value|of_marking_stream)_32$",
    ),
    Rule(
        "a priority_timeout below 0 is none and needs no level",
        r"^consumer_field_priority_timeout$",
        r"_nats\.req\.level: theirs=1 ours=0",
    ),
    # What is stored and read.
    Rule(
        "a schedule whose time is over is done at once: no consumer sees the schedule itself",
        r"^schedule_past$",
        r"^#\d |^(theirs|ours) |messages, ours",
        step=r" take 2$",
    ),
    Rule(
        "to nats-server a message of `a.>` is one that `a.*` covers here and there only; "
        "to midge wherever a filter is asked about a subject",
        r"^publish_literal_wildcards$",
        r"purged: theirs=3 ours=4|theirs=2 ours=1|lit\.1\.4\.1\.TIME|state\.|total: theirs=3 ours=2",
    ),
    Rule(
        "a header block that is none does not spoil the headers of a direct get",
        r"^get_header_raw$",
        r"garbaNats-Stream|theirs=bNats-Stream|theirs: bNats-Stream",
    ),
    Rule(
        "no_hdr: the end of a batch tells what is really pending, and so it does in multi_last",
        r"^direct_no_hdr$",
        r"Nats-Num-Pending",
    ),
    Rule(
        "a file stream that was never written to has no deleted sequence 0",
        r"^generated_",
        r"state\.(deleted: theirs=\[0\]|num_deleted: theirs=1) ours=absent",
    ),
    Rule(READ_ALL, r"^generated_store_04$", r"^(json|body|headers|subject).*\b"),
    Rule(
        READ_ALL,
        r"^generated_store_",
        r'404 No Results|^ours \{"(body|headers)"|\(theirs are 1 messages, ours \d\)',
        step=r"'multi_last': \['>'\], 'up_to_seq'",
    ),
    Rule(
        "a purge that keeps so many messages keeps no more; nats-server counts gaps with them",
        r"^generated_store_50$",
        r"json\.purged: theirs=0 ours=1",
    ),
    Rule(
        "limits and a rollup in one step: a message that fits once the rollup is done stays",
        r"^rollup_beyond_limit$",
        r"^state\.",
    ),
    # What is copied.
    Rule(
        "what is of other servers is not copied: `external` is refused until there are links",
        r"^(mirror|source)_config_external",
    ),
    Rule(
        "how far a source is, and the id of its stream in a header, are told from 2.15 on",
        r"^(source|attached)_",
        r"^(json\.)?(sources\[\d\]\.seq: theirs=\d ours=absent$|state\.bytes: theirs=)",
    ),
    Rule(
        "a source is active when a message came; for nats-server when its consumer was made",
        r"^source_",
        r"sources\[\d\]\.active: theirs=DURATION ours=-1$",
    ),
    Rule(
        "that an origin is missing is told at once; nats-server tells it when it has tried",
        r"^(mirror_created_first|(batch|counter)_config_sources)$",
        r"(mirror|sources\[0\])\.error\.\w+: theirs=absent ours=",
    ),
    Rule(
        "a mirror that starts behind the end is empty like any new stream",
        r"^mirror_config_far_start$",
        r"^state\.(first|last)_seq: ",
    ),
    Rule(
        "what was copied from a work queue is settled there at once; nats-server waits for a while",
        r"^source_of_workqueue$",
        r"^state\.",
    ),
    Rule(
        "a loop of sources is refused whatever their filters are",
        r"^source_loop$",
    ),
    # What is pending.
    Rule(PENDING, r"^start_empty_seq3_a$", r"num_pending: theirs=1 ours=0"),
    Rule(PENDING, r"^restart_fresh_consumers$", r"num_pending: theirs=1 ours=3|ACK\.@\.p\."),
    Rule(PENDING, r"^generated_consumers_(08|64|79)$", r"\$JS\.ACK\.@\.k\d\."),
    Rule(
        NO_WAIT,
        r"^next_nowait_unavailable$",
        r"404 No Messages|TIMEOUT|messages, ours|num_waiting: theirs=1 ours=0|step of theirs",
    ),
    Rule(
        NO_WAIT,
        r"^generated_consumers_(18|24|29|30|42|43|46|50|52|53|67|71)$",
        r'^ours \{"headers": \["NATS/1.0 404 No Messages"\]|\(theirs are \d messages, ours \d\)',
    ),
    # What is settled.
    Rule(
        DEAD_LETTERS,
        r"^(redelivery_(backoff|max_deliver)|(push|restart)_(redelivery|max_deliver)"
        r"|workqueue_max_deliver|consumer_update_max_deliver_raise)",
        r"^(ack_floor|num_redelivered|num_ack_pending|state\.\w+): ",
    ),
    Rule(
        DEAD_LETTERS,
        r"^generated_consumers_(05|07|30|31|68)$",
        r"^(ack_floor|num_redelivered|num_ack_pending): ",
    ),
    Rule(
        "a nak of the last delivery gives a message up at once; nats-server waits for the time "
        "to ack, or for the next request",
        r"^redelivery_max_deliver_nak$",
        r"v1\.max_deliver|messages, ours",
    ),
    Rule(
        "a purge does not forget that other messages are to be delivered again at once; "
        "nats-server delivers them after their ack wait",
        r"^generated_consumers_(37|62)$",
    ),
    Rule(
        FLOOR,
        r"^generated_consumers_(35|61|64|76)$",
        r"ack_floor: theirs=\d/(\d+) active ours=\d/\1 active",
    ),
    Rule(
        "a second +TERM of a message that is settled tells nothing new",
        r"^ack_term(_reason)?$",
        r"theirs \{|\(theirs are 2 messages, ours 1\)",
    ),
    Rule(
        "a consumer of the last of each subject that starts over delivers all that is not acked; "
        "nats-server leaves out what it had delivered before",
        r"^reset_of_last_per_subject_nowhere$",
        r"^(theirs|ours) [{T]|^delivered: |^num_ack_pending: |messages, ours",
    ),
    # Who receives.
    Rule(
        RECEIVERS,
        r"^push_wild_interest$",
        r'push_bound: theirs=absent ours=true|ours \{"body": "m1"|theirs are 0 messages, ours 1',
    ),
    Rule(
        RECEIVERS,
        r"^push_update_deliver_subject_unbound$",
        r"push_bound: theirs=absent ours=true",
    ),
    # Backups.
    Rule(
        "a stream that cannot be is refused before its backup is sent, not after",
        r"^restore_08$",
    ),
]
