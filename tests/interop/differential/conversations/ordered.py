"""Ordered consumers as clients make them, by pulling."""

from registry import conversation
from vocabulary import SECOND


@conversation
def ordered_pull_flow(talk):
    talk.create_stream()
    talk.fill(3)
    cfg = {
        "name": "o_1",
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 300 * SECOND,
        "deliver_policy": "all",
        "max_deliver": -1,
    }
    talk.api("CONSUMER.CREATE.@.o_1", {"stream_name": "@", "config": cfg, "action": "create"})
    sub = talk.pull("o_1", '{"batch":10,"expires":2000000000,"idle_heartbeat":300000000}')
    sub.take(4)
    talk.api("CONSUMER.DELETE.@.o_1")
    sub.take(1)
    cfg = dict(cfg, name="o_2", deliver_policy="by_start_sequence", opt_start_seq=3)
    talk.api("CONSUMER.CREATE.@.o_2", {"stream_name": "@", "config": cfg, "action": "create"})
    talk.fetch("o_2")
