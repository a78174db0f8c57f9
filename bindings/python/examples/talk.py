"""One node in memory, spoken to by lines: three languages run the same and compare.

    python talk.py --name NAME --join PLACE --say N --expect TOTAL

Listens on 127.0.0.1, joins, waits for a link, broadcasts "NAME 1" to "NAME N", waits until its history has
TOTAL messages, prints one line "MESSAGEID TEXT" for each in order, then "end", and stays until its
standard input closes.
"""

import argparse
import asyncio
import sys

from donp import NETWORK, AsyncNode, Message, PeerUp


async def history(node: AsyncNode) -> list[Message]:
    page = await node.history(NETWORK, limit=1_000)
    messages = page.messages
    while page.older is not None:
        page = await node.history(NETWORK, page.older, limit=1_000)
        messages = page.messages + messages
    return messages


async def main() -> None:
    parser = argparse.ArgumentParser(description="One node, spoken to by lines.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--join", metavar="PLACE")
    parser.add_argument("--say", type=int, default=0, metavar="N")
    parser.add_argument("--expect", type=int, default=0, metavar="TOTAL")
    args = parser.parse_args()

    node = await AsyncNode(name=args.name, listen="127.0.0.1:0").open()
    events = node.events()
    async with node:
        if args.join:
            await node.join(args.join)
            async for event in events:
                if isinstance(event, PeerUp):
                    break
        for n in range(1, args.say + 1):
            await node.broadcast(f"{args.name} {n}")
        messages = await history(node)
        while len(messages) < args.expect:
            await anext(events)
            messages = await history(node)
        for message in messages:
            print(message.id, message.text)
        print("end", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
