"""Ten nodes over UDP on this machine: each says one thing, and all see one order."""

from contextlib import ExitStack

from donp import NETWORK, Node, Received

with ExitStack() as stack:
    nodes = [stack.enter_context(Node(name=f"node {n}", listen="127.0.0.1:0")) for n in range(10)]
    streams = [node.events() for node in nodes]
    invitation = nodes[0].invite()
    for node in nodes[1:]:
        node.join(invitation)
    for node in nodes:
        node.broadcast(f"{node.name} was here")
    for events in streams:
        others = (event for event in events if isinstance(event, Received))
        for _ in nodes[1:]:
            next(others)
    orders = [[message.text for message in node.history(NETWORK).messages] for node in nodes]
    assert all(order == orders[0] for order in orders), "everybody has one order"
    print("\n".join(orders[0]))
