"""Drives Qpid Proton, a client for AMQP 1.0 that knows nothing of Azure,
against a gateway. The first argument is the name of what to do, the environment
says where."""

import sys
import uuid
from os import environ as env

from proton import Condition, ConnectionException, Delivery, Message, byte, int32, symbol, timestamp, ulong
from proton.handlers import MessagingHandler
from proton.reactor import AtMostOnce, Container
from proton.utils import BlockingConnection, LinkDetached, SendException

URL = "amqp://%s:%s" % (env["HOST"], env["PORT"])
PUBLISHER, INBOX, TO = env["PUBLISHER"], env["INBOX"], env["TO"]
TIMEOUT = 20


def connect(**options):
    return BlockingConnection(URL, timeout=TIMEOUT, **options)


def as_sender(**options):
    return connect(user=env["SENDER"], password=env["SEND_KEY"], allowed_mechs="PLAIN", allow_insecure_mechs=True, **options)


def as_receiver(**options):
    return connect(user=env["RECEIVER"], password=env["LISTEN_KEY"], allowed_mechs="PLAIN", allow_insecure_mechs=True, **options)


def send(*messages):
    connection = as_sender()
    sender = connection.create_sender(PUBLISHER)
    for m in messages:
        m.address = TO
        assert sender.send(m).remote_state == Delivery.ACCEPTED
    connection.close()


def take(n, address=INBOX, connection=None):
    """Receives n messages and accepts them."""
    own = connection or as_receiver()
    receiver = own.create_receiver(address, credit=n)
    got = []
    for _ in range(n):
        got.append(receiver.receive())
        receiver.accept()
    receiver.close()
    if connection is None:
        own.close()
    return got


class Run(MessagingHandler):
    """A client that runs until it stops itself, in its own container."""

    def __init__(self, **options):
        super().__init__(**options)
        self.failure = None
        self.connections = []

    def run(self):
        Container(self).run()
        if self.failure:
            raise AssertionError(self.failure)

    def connect(self, event, who, **options):
        user, key = {"sender": (env["SENDER"], env["SEND_KEY"]), "receiver": (env["RECEIVER"], env["LISTEN_KEY"])}[who]
        options.setdefault("reconnect", False)
        c = event.container.connect(URL, user=user, password=key, allowed_mechs="PLAIN", allow_insecure_mechs=True, **options)
        self.connections.append(c)
        return c

    def stop(self, failure=None):
        self.failure = self.failure or failure
        for c in self.connections:
            c.close()

    def on_rejected(self, event):
        self.stop("rejected: %s" % event.delivery.remote.condition)

    def on_link_error(self, event):
        self.stop("link: %s" % event.link.remote_condition)

    def on_connection_error(self, event):
        self.stop("connection: %s" % event.connection.remote_condition)


class Flow(Run):
    """Sends and receives many messages with the client's own flow control."""

    COUNT = 2000

    def __init__(self):
        super().__init__()  # prefetch of 10, accepts of itself
        self.sent = self.accepted = 0
        self.got = []

    def on_start(self, event):
        self.sender = event.container.create_sender(self.connect(event, "sender"), PUBLISHER)
        event.container.create_receiver(self.connect(event, "receiver"), INBOX)

    def on_sendable(self, event):
        while event.sender.credit and self.sent < self.COUNT:
            event.sender.send(Message(address=TO, body=self.sent))
            self.sent += 1

    def on_accepted(self, event):
        self.accepted += 1
        self.check()

    def on_message(self, event):
        self.got.append(event.message.body)
        self.check()

    def check(self):
        if self.accepted == len(self.got) == self.COUNT:
            self.stop(None if self.got == list(range(self.COUNT)) else "out of order")


class Manual(Run):
    """Receives with credit of its own, and settles as it is told."""

    def __init__(self, credit, settle, address=INBOX):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.credit, self.settle, self.address = credit, settle, address
        self.got = []

    def on_start(self, event):
        self.receiver = event.container.create_receiver(self.connect(event, "receiver"), self.address)
        self.receiver.flow(self.credit)

    def on_message(self, event):
        self.got.append(event.message)
        self.settle(event.delivery, event.message)
        if len(self.got) == self.credit:
            self.stop()


class Drain(Run):
    """Drains its credit twice."""

    def __init__(self):
        super().__init__(prefetch=0)
        self.counts = []
        self.now = 0

    def on_start(self, event):
        receiver = event.container.create_receiver(self.connect(event, "receiver"), INBOX)
        receiver.drain(10)

    def on_message(self, event):
        self.now += 1

    def on_link_flow(self, event):
        link = event.link
        if link.credit:
            return
        self.counts.append(self.now)
        self.now = 0
        if len(self.counts) == 2:
            self.stop()
        else:
            link.drain(5)


class Reconnect(Run):
    """Is cut once it has received, and goes on."""

    def __init__(self):
        super().__init__()
        self.got = []
        self.next = ["one"]

    def on_start(self, event):
        self.sender = event.container.create_sender(self.connect(event, "sender", reconnect=[0.01, 0.05, 0.1] * 30), PUBLISHER)
        event.container.create_receiver(self.connect(event, "receiver", reconnect=[0.01, 0.05, 0.1] * 30), INBOX)

    def on_sendable(self, event):
        if self.next:
            event.sender.send(Message(address=TO, body=self.next.pop()))

    def on_disconnected(self, event):
        if event.connection == self.sender.connection and self.got == ["one"]:
            self.next = ["two"]

    def on_message(self, event):
        self.got.append(event.message.body)
        if self.got == ["one"]:
            print("received", flush=True)
        if event.message.body == "two":
            self.stop(None if self.got == ["one", "two"] else str(self.got))

    def on_connection_error(self, event):
        pass  # it was cut

    def on_transport_error(self, event):
        pass


class Judges:
    def flow(self):
        Flow().run()

    def message(self):
        properties = {"text": "Ålesund", "yes": True, "byte": byte(-8), "int": int32(7), "long": 1 << 40, "double": 1.5, "when": timestamp(1700000000000), "id": uuid.UUID(int=7), "none": None, "symbol": symbol("sym"), "big": ulong(1 << 63)}
        send(
            Message(
                id=uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), user_id=b"me", subject="s", reply_to="r", correlation_id=ulong(7), content_type=symbol("text/plain"),
                content_encoding=symbol("none"), creation_time=1700000000.0, group_id="g", group_sequence=3, reply_to_group_id="rg", durable=True, priority=7, ttl=60,
                properties=properties, annotations={symbol("x-opt-mine"): "note"}, body={"map": [1, "two"], "none": None, "bytes": b"\0\1"},
            ),
            Message(body=b"bytes", inferred=True),
            Message(body=["a", 1], inferred=True),
        )
        m, data, sequence = take(3)
        assert m.id == uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), m.id
        assert (m.user_id, m.subject, m.reply_to, m.correlation_id, m.content_type, m.content_encoding) == (b"me", "s", "r", 7, "text/plain", "none"), m
        assert (m.creation_time, m.group_id, m.group_sequence, m.reply_to_group_id, m.durable, m.priority, m.ttl) == (1700000000.0, "g", 3, "rg", True, 7, 60), m
        assert m.properties == properties, m.properties
        for name, value in properties.items():
            assert type(m.properties[name]) is type(value), name
        assert m.body == {"map": [1, "two"], "none": None, "bytes": b"\0\1"}, m.body
        assert m.annotations[symbol("x-opt-mine")] == "note" and m.annotations[symbol("x-opt-sequence-number")] > 0, m.annotations
        assert data.body == b"bytes" and data.inferred, data
        assert sequence.body == ["a", 1], sequence

    def outcomes(self):
        send(*[Message(id=name, body="x") for name in ("accepted", "released", "rejected", "modified", "deferred")])

        def settle(delivery, message):
            local = delivery.local
            if message.id == "rejected":
                local.condition = Condition("com.example:bad", "it is bad")
            if message.id == "modified":
                local.failed = True
                local.annotations = {symbol("tried"): "once"}
            if message.id == "deferred":
                local.failed = local.undeliverable = True
            delivery.update({"accepted": Delivery.ACCEPTED, "released": Delivery.RELEASED, "rejected": Delivery.REJECTED}.get(message.id, Delivery.MODIFIED))
            delivery.settle()

        Manual(5, settle).run()
        found = {m.id: m for m in take(2)}
        assert found["released"].delivery_count == 0 and found["modified"].delivery_count == 1, found
        assert found["modified"].properties["tried"] == "once", found
        (dead,) = take(1, INBOX + "/$DeadLetterQueue")
        assert dead.id == "rejected" and dead.properties["DeadLetterReason"] == "com.example:bad" and dead.properties["DeadLetterErrorDescription"] == "it is bad", dead

    def drain(self):
        send(*[Message(body=i) for i in range(3)])
        d = Drain()
        d.run()
        assert d.counts == [3, 0], d.counts

    def large(self):
        body = "0123456789abcdef" * 58000
        for size in (512, 65536, None):
            options = {"max_frame_size": size} if size else {}
            connection = as_sender(**options)
            connection.create_sender(PUBLISHER).send(Message(address=TO, body=body))
            connection.close()
            connection = as_receiver(**options)
            (m,) = take(1, connection=connection)
            connection.close()
            assert m.body == body

    def refusals(self):
        connection = as_sender()
        sender = connection.create_sender(PUBLISHER)
        try:
            sender.send(Message(address=TO, properties={"cloudEvents:type": env["DENIED"]}))
            raise AssertionError("it was accepted")
        except SendException as err:
            assert err.state == Delivery.REJECTED, err.state
        for make, condition in (
            (lambda: connection.create_sender("nowhere"), "amqp:not-allowed"),
            (lambda: connection.create_sender(INBOX), "amqp:unauthorized-access"),
            (lambda: connection.create_receiver(INBOX), "amqp:unauthorized-access"),
            (lambda: connection.create_sender(None), "amqp:not-implemented"),
            (lambda: connection.create_receiver(None, dynamic=True), "amqp:not-implemented"),
        ):
            try:
                make()
                raise AssertionError("it was attached")
            except LinkDetached as err:
                assert err.condition == condition, (err.condition, condition)
        assert sender.send(Message(address=TO, body="fine")).remote_state == Delivery.ACCEPTED
        connection.close()
        try:
            connect(user=env["SENDER"], password="wrong", allowed_mechs="PLAIN", allow_insecure_mechs=True, reconnect=False)
            raise AssertionError("a wrong key was taken")
        except ConnectionException as err:
            assert "Authentication failed" in str(err), err
        assert [m.body for m in take(1)] == ["fine"]

    def settled(self):
        connection = as_sender()
        connection.create_sender(PUBLISHER, options=AtMostOnce()).send(Message(address=TO, body="settled"))
        connection.close()
        connection = as_receiver()
        receiver = connection.create_receiver(INBOX, credit=1, options=AtMostOnce())
        assert receiver.receive().body == "settled"
        receiver.close()
        connection.close()
        d = Drain()
        d.run()
        assert d.counts == [0, 0], d.counts

    def claims(self):
        for options in ({"sasl_enabled": False}, {"allowed_mechs": "ANONYMOUS"}):
            connection = connect(**options)
            asking = connection.create_sender("$cbs")
            for address, token, status in ((PUBLISHER, env["SEND_TOKEN"], 200), (INBOX, env["LISTEN_TOKEN"], 200), (INBOX, env["SEND_TOKEN"], 401)):
                answers = connection.create_receiver("$cbs", credit=1, name="answers")
                asking.send(
                    Message(
                        id="1", reply_to="answers", body=token,
                        properties={"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": URL + "/" + address},
                    )
                )
                answer = answers.receive()  # it is settled
                assert answer.correlation_id == "1" and answer.properties["status-code"] == status, answer
                answers.close()
            connection.create_sender(PUBLISHER).send(Message(address=TO, body="by token"))
            assert [m.body for m in take(1, connection=connection)] == ["by token"]
            connection.close()

    def reconnect(self):
        Reconnect().run()


getattr(Judges(), sys.argv[1])()
