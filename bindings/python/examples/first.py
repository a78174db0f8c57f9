"""The first twenty lines: two nodes on this machine meet, talk and find what was said."""

from donp import Node, Private, Received

with Node(name="alice", listen="127.0.0.1:0") as alice, Node(name="bob", listen="127.0.0.1:0") as bob:
    heard = bob.events()
    bob.join(alice.invite(), wait=30)
    peer = alice.wait_for("bob", timeout=30)
    alice.send(peer.id, "hello from the café")
    for event in heard:
        if isinstance(event, Received):
            print(bob.name_of(event.message.author), "says", event.message.text)
            bob.reply(event.message, "welcome")
            bob.ack(event.seq)
            break
    print(len(bob.search(Private(alice.id), "CAFÉ").messages), "message has that word")
