#!/usr/bin/env python3
"""Resolves the groups of tests/vectors/groups.json with nothing of this project but docs/design/groups.md §3.

An operation is [id, author, number, parents, lamport, action]; devices and members are numbers. Prints what differs and fails.
"""

import json
import sys
from pathlib import Path

RANKS = ["out", "guest", "member", "moderator", "admin", "owner"]
OWNER, ABOVE = 5, 6


class Op:
    def __init__(self, record):
        self.id, self.author, self.seq, self.parents, self.lamport, (self.kind, *self.args) = record
        self.past = set()
        self.rank = self.own = 0
        # The member that speaks, its device, its stint and list; the author's member; the member whose fork is proved.
        self.authority = self.device = self.member = self.subject = self.author
        self.stint, self.list, self.stints = None, -1, {}

    def is_of_owner(self):
        """An owner's own word: these form one line."""
        return self.own == OWNER and self.rank == OWNER and self.authority == self.member

    def level(self):
        return ABOVE if self.kind == "leave" else self.rank

    def says(self, person):
        """The rank that it says a node has; 0 is out, None is nothing."""
        kind, args = self.kind, self.args
        if kind == "create":
            return OWNER if person == self.member else None
        if kind in ("add", "rank"):
            return RANKS.index(args[1]) if person == args[0] else None
        if kind in ("remove", "ban"):
            return 0 if person in args[0] else None
        if kind == "leave":
            return 0 if person == self.member else None
        if kind == "give":
            return OWNER if person == args[0] else 4 if person == self.member else None
        return None

    def frees(self, person):
        """0 if it says that a node is banned, 1 if it says it is not."""
        if self.kind == "ban":
            return 0 if person in self.args[0] else None
        if self.kind == "unban":
            return 1 if person == self.args[0] else None
        return 1 if self.kind in ("create", "add", "rank", "give") and self.says(person) and (
            self.kind != "give" or person == self.args[0]) else None

    def people(self):
        listed = self.args[0] if self.kind in ("remove", "ban") else self.args[:1]
        return {self.member, *(p for p in listed if isinstance(p, int) and self.kind != "devices")}


class Group:
    """Operations by (lamport, id), each with its past and its rank there."""

    def __init__(self, records):
        self.ops = sorted(map(Op, records), key=lambda op: (op.lamport, op.id))
        self.by_id = {op.id: op for op in self.ops}
        for op in self.ops:
            for parent in op.parents:
                op.past |= {parent} | self.by_id[parent].past
            if op.kind == "create":
                op.rank = op.own = OWNER
                continue
            view = View(self, op.past)
            state = view.result()
            before, member = state["members"], lambda device: state["devices"].get(str(device), device)
            rank = lambda device: RANKS.index(before.get(str(member(device)), ["out"])[0]) if str(device) in state["devices"] else 0
            op.own, op.member = rank(op.author), member(op.author)
            op.device = op.args[2] if op.kind == "add" and op.args[2] is not None else op.author
            op.authority, op.rank = member(op.device), rank(op.device)
            if op.kind in ("proof", "devices"):
                op.rank, op.subject = ABOVE, member(op.args[0]) if op.kind == "proof" else None
            elif op.kind == "add" and op.args[0] == op.author:
                op.rank = RANKS.index(op.args[1])
            op.stint = before.get(str(op.authority), [None, None])[1]
            op.list = view.lists().get(op.stint, [-1])[0]
            op.stints = {int(person): stint for person, (_, stint) in before.items()}

    def known(self, person, past):
        """Up to which number the forks of a node are known in a past."""
        seen = [self.by_id[i] for i in past]
        proofs = [op.args[1] for op in seen if op.kind == "proof" and op.args[0] == person]
        return max(proofs + [op.seq for op in seen if op.author == person]) if proofs else 0


class View:
    """What a set of operations that has the past of each amounts to."""

    def __init__(self, group, ids):
        self.group, self.ids = group, ids
        self.ops = [op for op in group.ops if op.id in ids]
        self.void, self.line = {op.id for op in self.ops if self.outlisted(op)}, []
        for rank in range(OWNER, 0, -1):
            for op in self.ops:
                if op.rank != rank:
                    continue
                if op.id in self.void or self.falls(op):
                    self.void.add(op.id)
                elif op.is_of_owner():
                    self.line.append(op)

    def falls(self, op):
        if op.kind in ("create", "proof", "devices") or op.kind == "leave" and op.own < OWNER:
            return False
        if op.own < OWNER and any(self.forked(op, seq) for device, seq, _ in self.proofs(self.ids) if device == op.author):
            return True
        if op.is_of_owner() and any(other.id not in op.past for other in self.line):
            return True
        for other in self.ops:
            says = other.says(op.authority)
            if (op.rank < other.rank and other.level() < ABOVE and other.id not in self.void and says is not None
                    and says < op.rank and other.id not in op.past and op.id not in other.past):
                return True
        if op.kind == "add" and op.args[0] == op.author:
            return False
        policy = self.policy(op.past)
        need = {"add": policy["invite"], "name": policy["describe"], "about": policy["describe"],
                "pin": policy["pin"], "unpin": policy["pin"]}.get(op.kind, "out")
        if op.kind == "epoch":
            need = RANKS[max(2, RANKS.index(policy["post"]))]
        return self.rank(op.authority, op.past, op.rank) < op.rank or RANKS.index(need) > op.rank

    def proofs(self, within):
        return [(*op.args, op.subject) for op in self.ops if op.kind == "proof" and op.id in within]

    def outlisted(self, op):
        """A newer list is without the device that speaks, and neither knew of the other."""
        return op.stint and op.rank < ABOVE and any(
            new.kind == "devices" and new.stint == op.stint and op.device not in new.args[1] and new.args[0] > op.list
            and new.id not in op.past and op.id not in new.past for new in self.ops)

    def lists(self):
        """By stint the list that stands: [place among those of its account, devices]."""
        told = sorted((op for op in self.ops if op.kind == "devices"), key=lambda op: op.args[0])
        return {op.stint: op.args for op in told}

    def devices(self, members):
        lists = {int(n): self.lists().get(stint, [0, [int(n)]])[1] for n, (_, stint) in members.items()}
        found = {device: n for n, listed in lists.items() for device in listed if device == n or device not in lists.get(device, [])}
        return {str(device): found[device] for device in sorted(found)}

    def forked(self, op, seq):
        unaware = lambda past: self.group.known(op.author, past) < seq
        saved = any(c.member != op.member and c.kind not in ("proof", "devices") and c.rank >= op.rank and op.id in c.past
                    and unaware(c.past) for c in self.ops)
        return seq <= op.seq and unaware(op.past) and not saved

    def owner(self, within):
        return [op.args[0] if op.kind == "give" else op.member for op in self.line
                if op.kind in ("create", "give") and op.id in within][-1]

    def policy(self, within):
        return [op.args[-1] for op in self.line if op.kind in ("create", "policy") and op.id in within][-1]

    def words(self, person, within, least):
        """What is said of a node: (operation, rank). An author that did not know of a fork grants no more than GUEST."""
        proved = [(device, seq) for device, seq, member in self.proofs(within) if member == person]
        for op in self.ops:
            says = op.says(person)
            if op.id in within and op.id not in self.void and op.level() >= least and says is not None:
                yield op, says if all(self.group.known(d, op.past) >= seq for d, seq in proved) else min(says, 1)

    @staticmethod
    def standing(words):
        """From the highest rank down: what counts and is not replaced."""
        kept = []
        words = list(words)
        for level in range(ABOVE, 0, -1):
            now = min((says for _, says in kept), default=None)
            if now is not None and now >= level:
                break
            kept = kept + [(op, says) for op, says in words if op.level() == level
                           and (all(k.id in op.past for k, _ in kept) or now == says == 0)]
            kept = [(op, says) for op, says in kept if not any(op.id in other.past for other, _ in kept)]
        return min(kept, key=lambda w: (w[1], w[0].lamport, w[0].id), default=None)

    def rank(self, person, within, least):
        if person == self.owner(within):
            return OWNER
        found = self.standing(self.words(person, within, least))
        return min(found[1], 4) if found else 0

    def stint(self, op, person):
        return op.id if op.kind in ("create", "add") else op.stints[person]

    def result(self):
        owner, members, banned = self.owner(self.ids), {}, []
        for person in sorted(set().union(*(op.people() for op in self.ops)) - {owner}):
            found = self.standing(self.words(person, self.ids, 1))
            rank = min(found[1], 4) if found else 0
            bans = [(op, op.frees(person)) for op in self.ops if op.id not in self.void]
            ban = self.standing([(op, free) for op, free in bans if free is not None])
            if ban and ban[1] == 0 and rank < ban[0].level():
                banned.append(person)
            elif rank:
                members[str(person)] = [RANKS[rank], self.stint(found[0], person)]
        if not self.left_alone(owner, members):
            seat = [op for op in self.line if op.says(owner) == OWNER][-1]
            members[str(owner)] = ["owner", self.stint(seat, owner)]
        told = [op for op in self.ops if op.id not in self.void]
        last = lambda kind: [op.args[0] for op in told if op.kind in kind]
        return {"void": [op.id for op in self.ops if op.id in self.void], "owner": owner, "members": members,
                "devices": self.devices(members),
                "banned": banned, "name": last(("create", "name"))[-1], "about": (last(("about",)) or [""])[-1],
                "policy": self.policy(self.ids), "pins": self.pins(told)}

    @staticmethod
    def pins(told):
        """The messages whose last word is a pin, in the order of these words."""
        last = {}
        for op in told:
            if op.kind in ("pin", "unpin"):
                last.pop(op.args[0], None)
                last[op.args[0]] = op.kind
        return [message for message, kind in last.items() if kind == "pin"]

    def left_alone(self, owner, members):
        leaves = [op for op in self.line if op.kind == "leave" and op.member == owner]
        comes = lambda op: op.kind in ("add", "rank", "give") and op.id not in self.void and op.id not in leaves[-1].past
        return bool(leaves) and not members and not any(comes(op) for op in self.ops)


def main():
    vectors = Path(__file__).parents[2] / "vectors" / "groups.json"
    groups = json.loads(vectors.read_text())["groups"]
    wrong = 0
    for group in groups:
        ops = Group(group["ops"])
        found = View(ops, set(ops.by_id)).result()
        found["members"] = {str(k): found["members"][k] for k in sorted(found["members"], key=int)}
        for what, value in group["result"].items():
            if found[what] != value:
                wrong += 1
                print(f"{group['what']}: {what} is {found[what]}, not {value}")
    print(f"{len(groups)} groups, {sum(len(g['ops']) for g in groups)} operations, "
          f"{sum(len(g['result']['void']) for g in groups)} void; {wrong} differences")
    return 1 if wrong or len(groups) < 210 else 0


if __name__ == "__main__":
    sys.exit(main())
