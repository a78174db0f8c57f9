"""A question to everybody, answered by marks: counts who puts which mark on it.

python poll.py --join PLACE --seconds 60 'Tea or coffee?'
"""

import argparse
from collections import Counter
from time import monotonic

from donp import Node, NodeId, PeerUp, React, Received

parser = argparse.ArgumentParser(description="Asks everybody, and counts the marks.")
parser.add_argument("question")
parser.add_argument("--join", metavar="PLACE", required=True, help="an invitation, or host:port")
parser.add_argument("--seconds", type=float, default=60.0, help="how long to count [default: %(default)s]")
parser.add_argument("--votes", type=int, help="end as soon as this many voted")
args = parser.parse_args()

votes: dict[NodeId, str] = {}
with Node(name="poll", listen="127.0.0.1:0", bot=True) as node:
    events = node.events()
    node.join(args.join)
    while not any(isinstance(event, PeerUp) for event in events.poll(timeout=1.0)):
        pass
    question = node.broadcast(args.question)
    print(question, flush=True)
    end = monotonic() + args.seconds
    while (left := end - monotonic()) > 0 and (args.votes is None or len(votes) < args.votes):
        for event in events.poll(timeout=left):
            match event:
                case Received(message=message) if isinstance(message.content, React):
                    if message.content.react_to == question:
                        votes[message.author] = message.content.mark
for mark, count in Counter(votes.values()).most_common():
    print(f"{count}  {mark}")
