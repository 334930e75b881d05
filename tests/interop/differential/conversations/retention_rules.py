"""Which consumers streams of interest and work queues may have."""

from registry import conversation


@conversation
def workqueue_consumer_rules(talk):
    talk.create_stream(retention="workqueue")
    talk.create_consumer("x1", ack_policy="none")
    talk.create_consumer("x2", ack_policy="all")
    talk.create_consumer("x2p", ack_policy="none", deliver_subject="_INBOX.@.x")
    talk.create_consumer("x2q", ack_policy="all", deliver_subject="_INBOX.@.x")
    talk.create_consumer("x3", deliver_policy="new")
    talk.create_consumer("x4", deliver_policy="last")
    talk.create_consumer("x5", deliver_policy="by_start_sequence", opt_start_seq=1)
    talk.create_consumer("x6", deliver_policy="last_per_subject", filter_subject="@.>")
    talk.create_consumer("ok")
    talk.create_consumer("ok2")
    talk.create_consumer("ok3", filter_subject="@.a")
    talk.create_consumer("ok")
    talk.api("CONSUMER.DELETE.@.ok")
    talk.create_consumer("f1", filter_subject="@.a")
    talk.create_consumer("f2", filter_subject="@.b")
    talk.create_consumer("f3", filter_subject="@.*")
    talk.create_consumer("f4", filter_subject="@.a")
    talk.create_consumer("f5")
    talk.create_consumer("f6", filter_subjects=["@.c", "@.d"])
    talk.create_consumer("f7", filter_subjects=["@.d", "@.e"])
    talk.create_consumer("f8", filter_subject="@.d")
    talk.create_consumer("f9", filter_subject="@.z.>")
    talk.create_consumer("f1", filter_subject="@.b")
    talk.create_consumer("f1", filter_subject="@.q")
    talk.create_consumer("f1")
    talk.create_ephemeral(filter_subject="@.r")
    talk.create_ephemeral()


@conversation
def interest_consumer_rules(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("a", ack_policy="none")
    talk.create_consumer("b", ack_policy="all", deliver_policy="new")
    talk.create_consumer("d", num_replicas=1)
    talk.create_consumer("e", deliver_policy="last")
    talk.create_consumer("f", deliver_policy="by_start_sequence", opt_start_seq=3)


@conversation
def memory_consumer_on_interest(talk):
    talk.create_stream(retention="interest", storage="file")
    talk.create_consumer("a", mem_storage=True, whole=True)
