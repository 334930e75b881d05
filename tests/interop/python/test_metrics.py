"""What midge serves for Prometheus, read as strictly as Prometheus's own library reads."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families as families

from harness import free_port, only_midge, store_flags

pytestmark = only_midge()

# What is asked when a queue is ill.
QUEUE_HEALTH = {
    "midge_consumer_pending",
    "midge_consumer_ack_pending",
    "midge_consumer_redelivered",
    "midge_consumer_oldest_unacked_age_seconds",
    "midge_consumer_waiting_pulls",
    "midge_consumer_dead_letters",
    "midge_consumer_deliveries",
}
REST = {
    "midge_info",
    "midge_uptime_seconds",
    "midge_connections",
    "midge_slow_consumers",
    "midge_auth_errors",
    "midge_loop_turn_seconds",
    "midge_loop_slow_turns",
    "midge_store_commit_seconds",
    "midge_store_written_bytes_per_message",
    "process_resident_memory_bytes",
}


async def test_each_family_is_described_and_whole(start_server, tmp_path):
    port = free_port()
    server = await start_server("--http-port", str(port), *store_flags(tmp_path))
    js = await server.jetstream()
    await js.add_stream(name='odd"name{}', subjects=["s"])
    worker = await js.pull_subscribe("s", "d", stream='odd"name{}')
    await js.publish("s", b"one")
    await (await worker.fetch(1))[0].ack_sync()
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    found = {family.name: family for family in families(page)}
    assert QUEUE_HEALTH | REST <= found.keys()
    samples = [sample for family in found.values() for sample in family.samples]
    assert len({(s.name, *sorted(s.labels.items())) for s in samples}) == len(samples)
    for family in found.values():
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation.endswith("."), family
        assert family.samples, family.name
    [pending] = found["midge_consumer_pending"].samples
    assert pending.labels == {"stream": 'odd"name{}', "consumer": "d"}
    assert pending.value == 0
    for name in ("midge_loop_turn_seconds", "midge_store_commit_seconds"):
        by_name = {}
        for sample in found[name].samples:
            by_name.setdefault(sample.name, []).append(sample.value)
        buckets = by_name[f"{name}_bucket"]
        assert buckets == sorted(buckets) and buckets[-1] == by_name[f"{name}_count"][0] > 0
        assert by_name[f"{name}_sum"][0] > 0
