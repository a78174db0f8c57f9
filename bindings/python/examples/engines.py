"""Fifty nodes in one process, in virtual time: each says one thing, and all see one order."""

from donp import NETWORK, Engine, generate_identity

places = [f"10.0.0.{n}:4000" for n in range(1, 51)]
engines = {at: Engine(generate_identity(f"node {at}"), in_memory=True) for at in places}
inbox: dict[str, list[tuple[str, bytes]]] = {at: [] for at in places}
due, now, answers = dict.fromkeys(places, 0), 0, dict[str, list[str]]()

for at, engine in engines.items():
    engine.join(0, places[0] if at != places[0] else ())
    engine.broadcast(0, f"{at} was here")
while len(answers) < len(places):
    for at, engine in engines.items():
        if inbox[at] or due[at] <= now:
            received, inbox[at] = inbox[at], []
            out = engine.turn(now, received)
            due[at] = now if out.more else out.next_deadline_us or 2**63
            for answer in out.answers:
                answers[at] = [message.text for message in answer.page.messages]
            for to, payload in out.transmits:
                inbox[to].append((at, payload))
    now = now if any(inbox.values()) else max(now + 1, min(due.values()))
    if all(engine.status().messages == len(places) for engine in engines.values()):
        due = dict.fromkeys(places, now)
        for engine in engines.values():
            engine.history(now, NETWORK)
assert all(answer == answers[places[0]] for answer in answers.values()), "everybody has one order"
print("\n".join(answers[places[0]]))
