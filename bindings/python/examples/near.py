"""Who is on the local network: finds them by multicast, with no address and no invitation.

    python near.py --name alice --key 5d5d…

Everybody with the same key is shown, and how each fares; without one, everybody in the public network.
"""

import argparse
import contextlib

from donp import Lan, MemberChanged, Node, PeerDown, PeerUp

parser = argparse.ArgumentParser(description="Shows who is on the local network.")
parser.add_argument("--name", default="somebody")
parser.add_argument("--key", type=bytes.fromhex, help="of a closed network: 64 hex digits")
parser.add_argument("--listen", metavar="ADDRESS:PORT", action="append", default=[])
args = parser.parse_args()

node = Node(name=args.name, network_key=args.key, listen=args.listen, lan=Lan.ON)
with contextlib.suppress(KeyboardInterrupt), node:
    events = node.events()
    print("looking on", ", ".join(node.status().lan) or "nothing: there is no multicast", flush=True)
    for event in events:
        match event:
            case PeerUp(peer, name) if name is not None:
                print(f"{name} is near ({peer.short})", flush=True)
            case PeerDown(peer, reason):
                print(f"{peer.short} is gone: {reason.value}", flush=True)
            case MemberChanged(peer, state):
                print(f"{peer.short} is {state.value}", flush=True)
