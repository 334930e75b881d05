"""Message headers, and the status line that only servers and services send."""

from harness import Raw, next_data, next_message, settle

HEADERS = {
    "Single": "one",
    # Names differ by case alone, and a server must not fold them.
    "single": "lower",
    "Nats-Msg-Id": "an id: with colons, and spaces",
    "Sprache": "grüße ☕",
}


async def test_headers_arrive_as_they_were_sent(server):
    sender, receiver = await server.connect(), await server.connect()
    letters = await receiver.subscribe("letters")
    await settle(receiver)

    await sender.publish("letters", b"hello", reply="answers", headers=HEADERS)
    await sender.publish("letters", b"", headers={"Only": "this"})
    await sender.publish("letters", b"none")

    message = await next_message(letters)
    assert (message.data, message.reply, message.headers) == (b"hello", "answers", HEADERS)
    message = await next_message(letters)
    assert (message.data, message.reply, message.headers) == (b"", "", {"Only": "this"})
    message = await next_message(letters)
    assert (message.data, message.reply, message.headers) == (b"none", "", None)


async def test_large_headers_arrive_unharmed(server):
    sender, receiver = await server.connect(), await server.connect()
    letters = await receiver.subscribe("letters")
    await settle(receiver)

    headers = {f"Key-{number}": "v" * number for number in range(500)}
    await sender.publish("letters", b"hello", headers=headers)

    message = await next_message(letters)
    assert (message.data, message.headers) == (b"hello", headers)


async def test_requests_and_replies_carry_headers(server):
    asking, answering = await server.connect(), await server.connect()

    async def on_request(message):
        headers = {"Heard": message.headers["Asked-By"]}
        await answering.publish(message.reply, b"", headers=headers)

    await answering.subscribe("service", cb=on_request)
    await settle(answering)

    reply = await asking.request("service", b"please", timeout=10, headers={"Asked-By": "me"})
    assert reply.headers == {"Heard": "me"}


async def test_every_line_of_a_header_block_is_passed_on(server):
    """Repeated names and a status: the client sends neither, so they come from a bare
    connection and are read by one, byte for byte."""
    sender = await Raw.connect(server, ',"headers":true')
    receiver = await Raw.connect(server, ',"headers":true')
    receiver.send(b"SUB letters 7\r\n")
    await receiver.settle()
    lines = [
        b"NATS/1.0 100 Idle Heartbeat\r\n",
        b"Multi: first\r\n",
        b"Multi: second\r\n",
        b"multi:unspaced\r\n",
        b"Empty: \r\n",
        b"\r\n",
    ]
    block = b"".join(lines)

    sender.send(b"HPUB letters answers %d %d\r\n%bhi\r\n" % (len(block), len(block) + 2, block))

    expected = b"HMSG letters 7 answers %d %d\r\n" % (len(block), len(block) + 2)
    assert await receiver.answer() == expected
    for line in [*lines, b"hi\r\n"]:
        assert await receiver.answer() == line
    await sender.close()
    await receiver.close()


async def test_a_status_from_a_service_reaches_the_client(server):
    client = await server.connect()
    statuses = await client.subscribe("status")
    await settle(client)
    sender = await Raw.connect(server, ',"headers":true')
    block = b"NATS/1.0 404 No Messages\r\nLast: 7\r\n\r\n"

    sender.send(b"HPUB status %d %d\r\n%b\r\n" % (len(block), len(block), block))

    message = await next_message(statuses)
    assert message.headers == {"Status": "404", "Description": "No Messages", "Last": "7"}
    await sender.close()


async def test_a_client_without_headers_gets_the_payload_alone(server):
    client = await server.connect()
    old = await Raw.connect(server, ',"headers":false')
    old.send(b"SUB letters 7\r\n")
    await old.settle()
    letters = await client.subscribe("letters")

    await client.publish("letters", b"hello", headers=HEADERS)

    assert await old.answer() == b"MSG letters 7 5\r\n"
    assert await old.answer() == b"hello\r\n"
    assert await next_data(letters) == b"hello"
    await old.close()
