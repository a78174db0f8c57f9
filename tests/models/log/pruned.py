"""Model of docs/design/log.md §6: contents and headers that are pruned, bare headers, edges, bases, saying again.

Honest nodes, liars among their neighbours, random schedules in seconds. `Rules` holds every rule that can be
loosened; the laws of §9 are checked while entries are told and at the end, after partitions have healed.

    python3 pruned.py 2000                 # the rules that held, over all sets
    python3 pruned.py 2000 liars,besieged  # some sets
    python3 pruned.py 40 all mutations     # leave out one rule at a time; a fourth argument chooses by a word of the name
    python3 pruned.py 300 all page         # the page's own form
    python3 pruned.py 300 all held edge=life again=True     # any rule changed: here edges by majority, with R8
"""
import collections
import dataclasses
import random
import sys

HUGE = 1 << 40
ASK_SECONDS = 10        # an ask for contents, an ask for votes
CUT_SECONDS = 20        # a newcomer turns to the next neighbour's cut
BASE_SECONDS = 60       # ... and at last believes the longest-known
AGAIN_SECONDS = 30      # an own entry waits so long elsewhere before it is said again
CALM_SECONDS = 45       # a history has settled when nothing changed for so long
SETTLE_SECONDS = 400


@dataclasses.dataclass(frozen=True)
class Rules:
    bare: str = "ask"           # ask | at once | never: when a header without content counts as there
    wanted: int = HUGE          # seconds for which a bare header stays wanted
    edge: str = "one"           # one | life | abstain | majority | none: who is believed about an entry without a past
                                # (one neighbour is enough; or most of five, what is forgotten in its life as yes, as no answer, as no)
    base: str = "union"         # union | cut | one: how a newcomer finds its base
    below: str = "vote"         # vote | depth: what below the base counts as there without a past
    away: bool = True           # who finds that most neighbours forgot deeper than all it holds takes a base again
    page: str = "vote"          # vote | none: a header of a base must be below the page of those that confirm it
    forget: str = "life"        # life | depth | nothing: what is remembered of forgotten headers
    keep_newest: bool = True    # the newest header of each life is never forgotten
    keep_minority: bool = True  # a header is forgotten only when more than half of all neighbours hold it or did
    bare_gap: bool = True       # a bare header that is forgotten was not told: its content may still come
    retell: bool = False        # content that was deleted is told when it comes back
    keep_own: str = "most"      # most | one | no: own entries keep content and header until so many neighbours said they hold them
    keep_needed: bool = True    # headers that something waiting names are not forgotten
    edge_cuts: bool = True      # below an edge its own life is old; only after every linked neighbour lacked the reference
    edge_depth: bool = True     # a reference deeper than all that stands here is no edge: that needs a base
    quorum: bool = True         # a vote needs the answers of at least half of those asked
    again: bool = False         # R8: not needed where an edge is believed from one
    dispute: bool = True        # R8: one neighbour is enough if it waits for what was waived here by a vote
    shun: bool = True           # R8: what was said again, and what names it, is not named until most neighbours hold it
    veto: bool = False          # R8: one neighbour that says it holds the entry is enough against saying it again
    again_life: bool = True     # `again` carries (life, seq) of the first too


PAGE = Rules(
    again=True, bare_gap=False, edge_depth=False, quorum=False, dispute=False, shun=False, keep_own="one", edge="majority", edge_cuts=False,
    veto=True, base="cut", page="none", forget="depth", keep_newest=False,
    keep_minority=False, keep_needed=False, again_life=False)
MAJORITY = dict(edge="life", again=True)    # edges by majority, as the page has them, with R8 for what no majority holds


class Entry:
    """One entry; its content is either served with it or not, and cannot be forged."""
    __slots__ = ("author", "life", "seq", "prev", "parents", "depth", "id", "honest", "again", "key", "refs")

    def __init__(self, author, life, seq, prev, parents, ident, honest, again=None):
        self.author, self.life, self.seq, self.prev, self.parents = author, life, seq, prev, tuple(parents)
        self.id, self.honest, self.again = ident, honest, again
        self.refs = self.parents + ((prev,) if prev else ())
        self.depth = 1 + max((ref[0] for ref in self.refs), default=0)
        self.key = (self.depth, ident)

    @property
    def line(self):
        return self.author, self.life

    @property
    def first(self):
        return self.again.key if self.again else self.key

    def __repr__(self):
        return f"{self.author}.{self.life}:{self.seq}@{self.depth}<{[ref[0] for ref in self.refs]}"


class Held:
    """A taken entry: state content, deleted, base (old when it came) or bare."""
    __slots__ = ("entry", "state", "run", "above", "came")

    def __init__(self, entry, state, run, above, came):
        self.entry, self.state, self.run, self.above, self.came = entry, state, run, above, came

    def copy(self):
        return Held(self.entry, self.state, self.run, self.above, self.came)


class Waiting:
    """A run that waits, and what was asked about it. All of it is memory only."""
    def __init__(self, run, contents, bringer, now):
        self.run, self.contents, self.bringers, self.since = run, set(contents), [bringer], now
        self.lacked = set()         # neighbours that said they lack the contents
        self.refless = collections.defaultdict(set)     # missing reference -> neighbours that answered without it
        self.edges = set()          # entries that a bringer stated as its edge
        self.votes = {}             # entry key -> Vote
        self.rootless = set()       # entries that count as there without a past


class Vote:
    """Up to five neighbours asked whether they hold one entry."""
    def __init__(self, asked, now):
        self.asked, self.since, self.answers = asked, now, {}


class Node:
    def __init__(self, world, name, retention, limit):
        self.world, self.name, self.retention, self.limit = world, name, retention, limit
        self.held, self.waiting = {}, {}
        self.named = set()                      # taken entries that a taken entry names
        self.upto = {}                          # life -> (seq, depth) forgotten
        self.gaps = {}                          # life -> (numbers skipped by an edge and never held, their greatest depth)
        self.untold = set()                     # bare headers that were forgotten: known, and never told
        self.floor = 0                          # the greatest depth that was forgotten
        self.base, self.base_depth = set(), 0
        self.joining = None                     # Joining while it looks for a base
        self.known_held = set()                 # own entries that neighbours said they hold
        self.waived, self.disputed = set(), set()       # references waived by a vote; entries not to be named
        self.complainers = set()                # neighbours for whose sake something was said again
        self.abandoned = set()                  # own entries that were said again
        self.life, self.seq, self.last = 0, 0, None
        self.told_firsts = set()                # firsts of entries said again that were told
        self.told = collections.Counter()       # the observer's: never read by a rule
        self.stuck, self.again_at = {}, -HUGE
        self.joined = 0
        self.base_seqs = {}                     # the observer's: what a base covers of each life
        self.below = set()                      # the observer's: refused or taken as old though it never was here

    # ---- what counts as there

    def there(self, ref, entry):
        """R1: the reference stands here as entry or header."""
        held = self.held.get(ref)
        if held:
            other = held.entry
            return ref != entry.prev or (other.line == entry.line and other.seq == entry.seq - 1)
        return self.world.rules.below == "depth" and ref[0] <= self.base_depth and self.is_old(entry)

    def forgotten(self, entry):
        """Was taken here once, as far as this node remembers, or stands before such a one in its life."""
        rule = self.world.rules.forget
        if rule == "life":
            seq, depth = self.upto.get(entry.line, (0, 0))
            return entry.seq <= seq and entry.depth <= depth and not self.below_edge(entry)
        return rule == "depth" and entry.depth <= self.floor

    def below_edge(self, entry):
        """Stands in its life before an entry that was believed as an edge, and after what was here before."""
        gap, depth = self.gaps.get(entry.line, ((), 0))
        return entry.key in self.untold or (entry.seq in gap and entry.depth <= depth)

    def is_old(self, entry, run=()):
        """Forgotten, or below the own base: taken as a header only, never reported."""
        if self.forgotten(entry):
            return True
        if entry.depth > self.base_depth:
            return False
        for ref in entry.refs:
            if ref in self.base or (ref in self.held and self.held[ref].above):
                return False
            for other in run:
                if other.key == ref and not self.is_old(other, run):
                    return False
        return True

    # ---- receiving and taking

    def receive(self, run, contents, bringer, asked=False):
        for entry in run:
            if entry.key in self.held and entry.key in contents:
                self.late_content(self.held[entry.key])
        fresh = [entry for entry in run if entry.key not in self.held]
        if not fresh or self.joining:
            return
        if not asked and all(self.is_old(entry, run) for entry in fresh):
            self.below.update(entry.key for entry in fresh if not self.forgotten(entry))
            return
        key = run[-1].key
        waiting = self.waiting.get(key)
        if not waiting:
            self.waiting[key] = Waiting(run, contents, bringer, self.world.now)
            return
        if len(run) > len(waiting.run):
            waiting.run = run
        waiting.contents |= contents
        if bringer not in waiting.bringers:
            waiting.bringers.append(bringer)

    def late_content(self, held):
        rules = self.world.rules
        if held.state == "bare" and self.world.now - held.came <= rules.wanted:
            held.state = "content"
            self.world.seen["told late"] += 1
            self.tell(held.entry, late=True)
        elif held.state == "deleted" and rules.retell:
            held.state = "content"
            self.tell(held.entry, late=True)

    def step(self):
        for key in sorted(self.waiting):
            self.ask(self.waiting[key])
        moved = True
        while moved:
            moved = False
            for key in sorted(self.waiting):
                if key in self.waiting and self.ready(self.waiting[key]):
                    self.take(self.waiting.pop(key))
                    moved = True

    def missing(self, waiting):
        """Pairs (entry, reference) that are not there, not in the run, and not waived."""
        inside = {entry.key: entry for entry in waiting.run}
        for entry in waiting.run:
            if entry.key in self.held or entry.key in waiting.rootless:
                continue
            for ref in entry.refs:
                other = inside.get(ref)
                if other and (ref != entry.prev or (other.line == entry.line and other.seq == entry.seq - 1)):
                    continue
                if not self.there(ref, entry):
                    yield entry, ref

    def bare(self, waiting):
        return [entry for entry in waiting.run if entry.key not in self.held and entry.key not in waiting.contents
                and not self.is_old(entry, waiting.run)]

    def ready(self, waiting):
        if any(True for _ in self.missing(waiting)):
            return False
        rule, world = self.world.rules.bare, self.world
        if rule == "at once" or not self.bare(waiting):
            return True
        if rule == "never":
            return False
        linked = world.linked(self)
        return world.now - waiting.since >= ASK_SECONDS or (linked and all(x.name in waiting.lacked for x in linked))

    def take(self, waiting):
        for entry in waiting.run:
            if entry.key in self.held:
                continue
            if entry.key in waiting.rootless:
                self.waived.update(ref for ref in entry.refs if not self.there(ref, entry))
            if any(ref in self.disputed for ref in entry.refs):
                self.disputed.add(entry.key)
            if entry.key in waiting.rootless and entry.prev and self.world.rules.edge_cuts and not self.there(entry.prev, entry):
                last = max([self.upto.get(entry.line, (0, 0))[0]] + [held.entry.seq for held in self.held.values()
                           if held.entry.line == entry.line and held.entry.seq < entry.seq])
                gap, depth = self.gaps.get(entry.line, (frozenset(), 0))
                self.gaps[entry.line] = (gap.union(range(last + 1, entry.seq)), max(depth, entry.prev[0]))
            old = self.is_old(entry)
            content = entry.key in waiting.contents
            state = "base" if old else "content" if content else "bare"
            if old and not self.forgotten(entry):
                self.below.add(entry.key)
            self.held[entry.key] = Held(entry, state, waiting.run, not old, self.world.now)
            self.named.update(entry.refs)
            self.world.seen["taken as " + state] += 1
            if state == "content":
                self.tell(entry, late=self.below_edge(entry))
            if self.below_edge(entry):
                self.untold.discard(entry.key)
                gap, depth = self.gaps.get(entry.line, (frozenset(), 0))
                self.gaps[entry.line] = (gap - {entry.seq}, depth)
            elif old and self.world.rules.retell and content:
                self.tell(entry, late=True)

    def tell(self, entry, late=False):
        """The application hears of an entry; of what was said again it hears once."""
        first = entry.first
        if entry.again:
            original = self.held.get(first)
            if first in self.told_firsts or (original and original.state in ("content", "deleted")):
                return
            if self.world.rules.again_life and self.forgotten(entry.again):
                return
            self.told_firsts.add(first)
        elif first in self.told_firsts:
            return
        self.told[first] += 1
        if self.told[first] > 1:
            self.world.broken("2 told twice", (self.name, entry))
        if not late:
            self.world.check_past(self, entry)

    # ---- asking

    def ask(self, waiting):
        world = self.world
        linked = world.linked(self)
        if self.bare(waiting):
            for peer in linked:
                if world.arrives():
                    answer = peer.content_of(self, waiting.run)
                    if answer is None:
                        continue
                    waiting.contents |= answer
                    if not answer.issuperset(entry.key for entry in self.bare(waiting)):
                        waiting.lacked.add(peer.name)
        order = sorted(linked, key=lambda peer: peer.name not in waiting.bringers)
        missing = list(self.missing(waiting))
        top = max(self.held)[0] if self.held else 0
        for entry, ref in missing:
            old = self.is_old(entry, waiting.run)
            if not old or self.world.rules.below == "depth":
                for peer in order:
                    if not world.arrives():
                        continue
                    served = peer.serve(self, ref)
                    if served:
                        self.receive(*served, peer.name, asked=True)
                        break
                    waiting.refless[ref].add(peer.name)
                    if peer.states_edge(self, entry, ref):
                        waiting.edges.add(entry.key)
            searched = world.now - waiting.since >= ASK_SECONDS or all(x.name in waiting.refless[ref] for x in linked)
            edge = entry.key in waiting.edges or self.below_edge(entry)
            if world.rules.edge_depth and any(other is entry and deep[0] > top for other, deep in missing):
                continue
            if old or edge and (searched or not world.rules.edge_cuts):
                self.vote(waiting, entry, linked)

    def vote(self, waiting, entry, linked):
        """R6: an entry counts as there without a past when the neighbours asked say that they hold it."""
        world = self.world
        if world.rules.edge == "none":
            return
        if world.rules.edge == "one":
            waiting.rootless.add(entry.key)
            return
        vote = waiting.votes.get(entry.key)
        if not vote or world.now - vote.since >= ASK_SECONDS:
            vote = waiting.votes[entry.key] = Vote(world.some(linked, 5), world.now)
        for peer in vote.asked:
            if peer.name not in vote.answers and world.reaches(self, peer) and world.arrives():
                answer = peer.holds(self, entry)
                if answer:
                    vote.answers[peer.name] = answer
        if len(vote.answers) == len(vote.asked) or world.now - vote.since >= ASK_SECONDS - 1:
            count = collections.Counter(vote.answers.values())
            against = count["no"] + (count["forgotten"] if world.rules.edge == "majority" else 0)
            self.world.seen["edges put to the vote"] += 1
            enough = not world.rules.quorum or 2 * len(vote.answers) >= len(vote.asked)
            if count["yes"] > against and enough:
                self.world.seen["edges believed"] += 1
                waiting.rootless.add(entry.key)

    # ---- answering

    def holds(self, asker, entry):
        if entry.key in self.held or (self.world.rules.edge == "life" and self.forgotten(entry)):
            return "yes"
        return "forgotten" if self.is_old(entry) or self.below_edge(entry) else "no"

    def below_page(self, asker, entry):
        """For a base: is it held here and below the own newest page?"""
        if self.joining:
            return None
        if self.world.rules.page == "none" or entry.key not in self.held:
            return self.holds(asker, entry)
        page = sorted(self.held)[-self.world.page_size:]
        return "yes" if entry.key not in page else "no"

    def content_of(self, asker, run):
        return {entry.key for entry in run if entry.key in self.held and self.held[entry.key].state == "content"}

    def serve(self, asker, key):
        held = self.held.get(key)
        if not held:
            return None
        run = tuple(entry for entry in held.run if entry.key in self.held)
        return run, self.content_of(asker, run)

    def states_edge(self, asker, entry, ref):
        return entry.key in self.held and ref not in self.held

    def offers(self, asker):
        """Reconciliation: all that stands here and that the asker lacks, or lacks the content of."""
        done = set()
        for key in sorted(self.held):
            theirs = asker.held.get(key)
            if theirs is None or (theirs.state in ("bare", "deleted") and self.held[key].state == "content"):
                last = self.held[key].run[-1].key
                if last not in done:
                    done.add(last)
                    yield self.serve(asker, key)

    def says_floor(self):
        return self.floor

    def waits_for(self, asker, entry):
        """R8: what a neighbour says of an entry of the asker."""
        if entry.key in self.held or self.is_old(entry):
            return "held"
        for waiting in self.waiting.values():
            if any(other.key == entry.key for other in waiting.run):
                return self.roots_missing(waiting)
        return "unknown"

    def roots_missing(self, waiting):
        """What a waiting run misses that does not wait here itself."""
        seen, stack, roots = set(), [waiting], set()
        inside = {entry.key: one for one in self.waiting.values() for entry in one.run}
        while stack:
            one = stack.pop()
            for _, ref in self.missing(one):
                if ref not in seen:
                    seen.add(ref)
                    if ref in inside:
                        stack.append(inside[ref])
                    else:
                        roots.add(ref)
        return roots

    def cut(self, asker):
        """The headers just below the newest page."""
        keys = sorted(self.held)
        page = set(keys[-self.world.page_size:]) if len(keys) > self.world.page_size else set(keys)
        refs = {ref for key in page for ref in self.held[key].entry.refs if ref not in page and ref in self.held}
        return [self.held[ref].entry for ref in sorted(refs)]

    # ---- speaking

    def heads(self):
        forked = collections.Counter((held.entry.line, held.entry.seq) for held in self.held.values())
        bad = {line for (line, _), number in forked.items() if number > 1}
        named = self.named
        if self.disputed:
            peers = [peer for peer in self.world.linked(self) if peer.name in self.complainers]
            if peers:
                self.disputed -= {key for key in self.disputed & set(self.held)
                                  if all(peer.holds(self, self.held[key].entry) == "yes" for peer in peers)}
            named = {ref for key, held in self.held.items() if key not in self.disputed for ref in held.entry.refs}
        return [key for key, held in sorted(self.held.items()) if key not in named and held.entry.line not in bad
                and held.entry.line != (self.name, self.life) and (held.above or key in self.base) and key not in self.disputed]

    def speak(self, number, parents=None, again=()):
        """Signs a run of one to three entries; the first names the heads."""
        if self.joining:
            return
        run, parents = [], self.heads()[-8:] if parents is None else parents
        for index in range(number):
            self.seq += 1
            entry = Entry(self.name, self.life, self.seq, self.last, parents if index == 0 else (), self.world.ident(), True,
                          again[index] if again else None)
            self.last = entry.key
            run.append(entry)
        run = tuple(run)
        self.world.add(run)
        for entry in run:
            self.held[entry.key] = Held(entry, "content", run, True, self.world.now)
            self.named.update(entry.refs)
            if entry.depth > len(self.world.entries) + 1:
                self.world.broken("6 an honest entry has an invented depth", entry)
            self.tell(entry)

    def new_life(self):
        self.life = self.world.fresh_life()
        self.seq, self.last, self.stuck = 0, None, {}

    def maybe_say_again(self):
        """R8: most neighbours say that an own entry waits, none holds it."""
        world = self.world
        if not world.rules.again or self.joining or world.now % 3:
            return
        own = [held.entry for held in self.held.values() if held.entry.author == self.name
               and held.entry.key not in self.abandoned and not (world.rules.veto and held.entry.key in self.known_held)]
        linked = world.linked(self)
        complaining = set()
        for entry in sorted(own, key=lambda entry: entry.key):
            answers = {peer: peer.waits_for(self, entry) for peer in linked if world.arrives()}
            holding = sum(answer == "held" for answer in answers.values())
            waits = {peer for peer, answer in answers.items() if isinstance(answer, set)}
            disputing = {peer for peer in waits if answers[peer] & self.waived} if world.rules.dispute else set()
            if 2 * holding > len(linked) or (holding and world.rules.keep_own == "one"):
                self.known_held.add(entry.key)
            if holding and world.rules.veto:
                self.stuck.pop(entry.key, None)
            elif 2 * len(waits) > len(linked) or disputing:
                self.stuck.setdefault(entry.key, world.now)
                complaining |= waits
            elif len(answers) == len(linked):
                self.stuck.pop(entry.key, None)
        stuck = [key for key, since in self.stuck.items() if world.now - since >= AGAIN_SECONDS and key in self.held]
        if not stuck or not complaining or world.now - self.again_at < 60:
            return
        self.again_at = world.now
        world.seen["said again"] += 1
        lines = {self.held[key].entry.line for key in stuck}
        waiting = [held.entry for key, held in sorted(self.held.items()) if key >= min(stuck) and held.entry.line in lines
                   and held.state == "content" and key not in self.abandoned
                   and any(peer.waits_for(self, held.entry) != "held" for peer in complaining)]
        self.abandoned.update(stuck, (entry.key for entry in waiting))
        self.new_life()
        self.complainers = {peer.name for peer in complaining}
        parents = self.heads_at_both(complaining)
        for entry in waiting:
            self.speak(1, parents, [entry.again or entry])
            parents = []

    def heads_at_both(self, peers):
        """Entries that stand here and at those that complain, and that no other such entry names."""
        asked = [key for key in sorted(self.held) if self.held[key].above or key in self.base]
        common = {key for key in asked if all(peer.holds(self, self.held[key].entry) == "yes" for peer in peers)}
        if self.world.rules.shun:
            self.disputed.update(key for key in asked if key not in common)
        named = {ref for key in common for ref in self.held[key].entry.refs}
        return sorted(common - named)[-8:]

    # ---- pruning, restart, bases

    def prune(self):
        """R5: the oldest contents beyond the retention, then the oldest headers beyond the limit."""
        rules = self.world.rules
        contents = [key for key in sorted(self.held) if self.held[key].state == "content"]
        for key in contents[:max(0, len(contents) - self.retention)]:
            if not self.must_keep(self.held[key].entry):
                self.held[key].state = "deleted"
        needed = {ref for waiting in self.waiting.values() for entry in waiting.run for ref in entry.refs} if rules.keep_needed else set()
        newest = {}
        for key, held in self.held.items():
            newest[held.entry.line] = max(newest.get(held.entry.line, key), key)
        excess = len(self.held) - self.limit
        for key in sorted(self.held):
            held = self.held[key]
            if excess <= 0:
                break
            if rules.keep_newest and key == newest[held.entry.line] or rules.keep_minority and not self.known_to_most(held.entry):
                continue
            if held.state == "content" or self.must_keep(held.entry) or key in needed or key == self.last:
                continue
            self.forget(key)
            excess -= 1

    def must_keep(self, entry):
        return self.world.rules.keep_own != "no" and entry.author == self.name and entry.key not in self.known_held \
            and entry.key not in self.abandoned

    def known_to_most(self, entry):
        """More than half of all neighbours, linked now or not, hold the entry or did."""
        linked = self.world.linked(self)
        known = sum(peer.holds(self, entry) in ("yes", "forgotten") for peer in linked)
        return 2 * known > len(linked) + self.world.cut_off(self)

    def forget(self, key):
        held = self.held.pop(key)
        entry = held.entry
        if held.state == "bare" and self.world.rules.bare_gap:
            self.untold.add(key)
        self.world.seen["headers forgotten"] += 1
        self.floor = max(self.floor, entry.depth)
        self.remember_upto(entry)

    def remember_upto(self, entry):
        seq, depth = self.upto.get(entry.line, (0, 0))
        self.upto[entry.line] = (max(seq, entry.seq), max(depth, entry.depth))

    def restart(self):
        self.waiting, self.stuck = {}, {}
        if self.joining:
            self.joining = Joining(self.world.now)

    def snapshot(self):
        return ({key: held.copy() for key, held in self.held.items()}, set(self.named), dict(self.upto), self.floor,
                set(self.base), self.base_depth, set(self.known_held), set(self.abandoned), dict(self.gaps), set(self.untold), set(self.waived),
                set(self.disputed), set(self.told_firsts), self.told.copy(), set(self.below))

    def restore(self, saved):
        held, *rest = saved
        self.held = {key: one.copy() for key, one in held.items()}
        (named, upto, self.floor, base, self.base_depth, known, abandoned, gaps, untold, waived, disputed, firsts, told, below) = rest
        self.named, self.upto, self.base = set(named), dict(upto), set(base)
        self.waived, self.disputed, self.untold = set(waived), set(disputed), set(untold)
        self.abandoned, self.gaps = set(abandoned), dict(gaps)
        self.known_held, self.told_firsts, self.told, self.below = set(known), set(firsts), told.copy(), set(below)
        self.waiting, self.joining = {}, None
        self.new_life()

    def was_away(self):
        """Most neighbours have forgotten deeper than all that stands here."""
        linked = self.world.some(self.world.linked(self), 5)
        top = max(self.held)[0] if self.held else 0
        floors = [peer.says_floor() for peer in linked if self.world.arrives()]
        return bool(floors) and 2 * sum(floor > top for floor in floors) > len(linked)

    def adopt(self, headers):
        """A base: these headers count as there without a past."""
        self.joining = None
        self.world.seen["bases"] += 1
        for entry in headers:
            if entry.key not in self.held:
                self.held[entry.key] = Held(entry, "base", (entry,), True, self.world.now)
                self.below.add(entry.key)
                self.named.update(entry.refs)
            self.remember_upto(entry)
            self.base_seqs[entry.line] = max(entry.seq, self.base_seqs.get(entry.line, 0))
            self.base.add(entry.key)
            self.base_depth = max(self.base_depth, entry.depth)
        self.world.check_base(self, headers)


class Joining:
    """What a newcomer has received about a base."""
    def __init__(self, now):
        self.since, self.turn, self.cuts, self.answers, self.asked_at = now, -1, {}, {}, None
        self.proposer = None


def look_for_base(node):
    world, joining, rules = node.world, node.joining, node.world.rules
    linked = world.linked(node)
    if not linked:
        joining.since = world.now
        return
    elapsed = world.now - joining.since
    if rules.base == "one":
        if world.arrives():
            cut = linked[0].cut(node)
            if cut is not None:
                node.adopt(cut)
    elif rules.base == "union":
        base_by_union(node, joining, linked[:5], elapsed)
    else:
        base_by_proposal(node, joining, linked, elapsed)


def base_by_union(node, joining, asked, elapsed):
    """The lists of up to five neighbours; a header is in the base if more than half of those that answer confirm it."""
    world = node.world
    for peer in asked:
        if joining.asked_at is None and peer.name not in joining.cuts and world.arrives():
            cut = peer.cut(node)
            if cut is not None:
                joining.cuts[peer.name] = cut
    if joining.asked_at is None and (len(joining.cuts) == len(asked) or (elapsed >= ASK_SECONDS and joining.cuts)):
        joining.asked_at = world.now
    if joining.asked_at is None:
        return
    headers = {entry.key: entry for cut in joining.cuts.values() for entry in cut}
    for peer in asked:
        if peer.name not in joining.answers and world.arrives():
            answers = {key: peer.below_page(node, entry) for key, entry in headers.items()}
            if all(answers.values()):
                joining.answers[peer.name] = answers
    if joining.answers and (len(joining.answers) == len(asked) or world.now - joining.asked_at >= ASK_SECONDS):
        node.adopt(confirmed(headers, joining.answers))


def base_by_proposal(node, joining, linked, elapsed):
    """R7: the cut of the longest-known neighbour, confirmed header by header by up to four others."""
    world = node.world
    if elapsed >= BASE_SECONDS:
        cut = joining.cuts.get(linked[0].name) or (linked[0].cut(node) if world.arrives() else None)
        if cut is None and len(linked) > 1 and world.arrives():
            cut = world.some(linked[1:], 1)[0].cut(node)
        if cut is not None:
            node.adopt(cut)
        return
    turn = elapsed // CUT_SECONDS
    if turn != joining.turn or joining.proposer not in linked:
        joining.turn, joining.answers, joining.asked_at = turn, {}, None
        joining.proposer = linked[turn % len(linked)]
    proposer = joining.proposer
    if proposer.name not in joining.cuts and world.arrives():
        cut = proposer.cut(node)
        if cut is not None:
            joining.cuts[proposer.name] = cut
    if proposer.name not in joining.cuts:
        return
    headers = {entry.key: entry for entry in joining.cuts[proposer.name]}
    others = [peer for peer in linked if peer is not proposer][:4]
    if joining.asked_at is None:
        joining.asked_at = world.now
    for peer in others:
        if peer.name not in joining.answers and world.arrives():
            answers = {key: peer.below_page(node, entry) for key, entry in headers.items()}
            if all(answers.values()):
                joining.answers[peer.name] = answers
    if not joining.answers or (len(joining.answers) < len(others) and world.now - joining.asked_at < ASK_SECONDS):
        return
    good = confirmed(headers, joining.answers)
    if good or not headers:
        node.adopt(good)


def confirmed(headers, answers):
    return [entry for key, entry in sorted(headers.items())
            if 2 * sum(answer[key] == "yes" for answer in answers.values()) > len(answers)]


class Liar(Node):
    """A neighbour that holds all that was ever said and answers as its habits have it."""
    def __init__(self, world, name, habits):
        super().__init__(world, name, HUGE, HUGE)
        self.habits, self.seqs, self.invented = habits, {}, []

    def silent(self):
        return "silent" in self.habits and self.world.random.random() < .8

    def holds(self, asker, entry):
        if self.silent():
            return None
        if not entry.honest:
            return "yes"
        return "no" if "deny" in self.habits else "yes"

    def below_page(self, asker, entry):
        return self.holds(asker, entry)

    def content_of(self, asker, run):
        if self.silent() or "hoard" in self.habits:
            return None
        return set() if "strip" in self.habits else {entry.key for entry in run}

    def serve(self, asker, key):
        run = self.world.runs.get(key)
        if self.silent() or not run or ("strip" not in self.habits and self.world.random.random() < .5):
            return None
        contents = set() if {"strip", "hoard"} & set(self.habits) else {entry.key for entry in run}
        return run, contents

    def states_edge(self, asker, entry, ref):
        return "edge" in self.habits

    def says_floor(self):
        return HUGE if "cut" in self.habits else 0

    def waits_for(self, asker, entry):
        return {(1, 1)} if "deny" in self.habits else "held"

    def offers(self, asker):
        """Brings hostile runs, and honest ones without their contents."""
        keys = list(self.world.runs)
        for key in self.world.random.sample(keys, min(3, len(keys))):
            run = self.world.runs[key]
            if key not in asker.held:
                served = self.serve(asker, key)
                if served:
                    yield served
        if "replay" in self.habits and keys:
            run = self.world.runs[self.world.random.choice(keys)]
            yield run, {entry.key for entry in run}

    def cut(self, asker):
        if self.silent():
            return None
        if "cut" in self.habits:
            if not self.invented:
                self.invented = [Entry(self.name, 0, 7, (HUGE, 1), (), self.world.ident(), False)]
                self.world.add(tuple(self.invented))
            honest = next((node for node in self.world.honest if not node.joining), None)
            return self.invented + ([honest.held[key].entry for key in honest.heads()] if honest else [])
        return []

    def act(self):
        """Signs something hostile and brings it to one honest node."""
        world = self.world
        target = world.some([node for node in world.honest if not node.joining and world.reaches(self, node)], 1)
        if not target:
            return
        target, rand = target[0], world.random
        author = f"{self.name}{rand.randrange(2)}"
        seq, last = self.seqs.get(author, (0, None))
        parents = [key for key in world.some(sorted(target.held), 1) if world.entries[key].author != author]
        habit = rand.choice(self.habits)
        if habit == "edge":
            parents.append((rand.choice([HUGE, 2, 5, max(1, target.floor), max(1, target.base_depth)]), world.ident()))
        if habit == "old":
            parents = [key for key in world.some(sorted(world.entries), 2) if key[0] < HUGE and world.entries[key].author != author]
        run = []
        if habit == "fork" and seq:
            old = rand.randrange(seq)
            ghost = [(max(1, rand.randrange(max(2, target.floor + 2))), world.ident())] if rand.random() < .6 else []
            run = [Entry(author, 0, old + 1, world.line_key(author, old), parents[:1] + ghost, world.ident(), False)]
        else:
            for index in range(rand.randint(1, 3)):
                entry = Entry(author, 0, seq + 1, last, parents if index == 0 else (), world.ident(), False)
                seq, last = entry.seq, entry.key
                run.append(entry)
            self.seqs[author] = (seq, last)
            world.lines.setdefault(author, []).extend(entry.key for entry in run)
        run = tuple(run)
        world.add(run)
        if habit == "old" and rand.random() < .5:       # a header below the base, and an entry that names it
            ghostly = (Entry(f"{self.name}g", rand.randrange(99), 1, None, [(max(1, target.base_depth - 1), world.ident())], world.ident(), False),)
            world.add(ghostly)
            namer = (Entry(f"{self.name}n", rand.randrange(9999), 1, None, [ghostly[0].key] + parents[:1], world.ident(), False),)
            world.add(namer)
            target.receive(namer, {namer[0].key}, self.name)
        contents = set() if {"hoard", "strip"} & set(self.habits) and rand.random() < .7 else {entry.key for entry in run}
        target.receive(run, contents, self.name)


class World:
    def __init__(self, seed, rules, kind, steps):
        self.random, self.rules, self.kind = random.Random(seed), rules, kind
        self.now, self.entries, self.runs, self.lines = 0, {}, {}, {}
        self.found, self.lives, self.loss = {}, 0, self.random.choice([0, .2, .5])
        self.lively = self.random.choice([.05, .2, .6])     # how often neighbours compare what they hold
        self.page_size = self.random.choice([3, 5, 8])
        self.seen = collections.Counter()       # how often each rule came into play
        self.troubles, habits, liars, honest = KINDS[kind]
        self.honest = [self.new_node("ABCDEF"[index]) for index in range(honest + seed % 2)]
        self.liars = [Liar(self, f"Z{index}", self.some(habits, 3) or ["strip"]) for index in range(liars)]
        self.side, self.links, self.links_at = {}, {}, -1
        self.besieged = self.honest[0].name if kind == "besieged" else None
        self.saved = {}
        for _ in range(steps):
            self.tick()
        self.settle()
        self.check()
        self.check_restart()

    def new_node(self, name):
        retention = self.random.choice([1, 2, 4, 8, 99])
        return Node(self, name, retention, retention + self.random.choice([1, 3, 6, 10, 99]))

    def ident(self):
        return self.random.getrandbits(48)

    def fresh_life(self):
        self.lives += 1
        return self.lives

    def arrives(self):
        return self.random.random() >= self.loss

    def some(self, things, number):
        return self.random.sample(things, min(number, len(things)))

    def add(self, run):
        for entry in run:
            self.entries[entry.key] = entry
            self.runs[entry.key] = run

    def line_key(self, author, seq):
        return self.lines[author][seq - 1] if seq else None

    def broken(self, law, what):
        self.found.setdefault(law, (len(self.entries), repr(what)))

    def reaches(self, one, other):
        if one in self.liars or other in self.liars:
            return True
        if self.besieged in (one.name, other.name):
            return self.honest[1].name in (one.name, other.name)
        return self.side.get(one.name, 0) == self.side.get(other.name, 0)

    def linked(self, node):
        """The neighbours of a node, longest-known first."""
        if self.links_at != self.now:
            self.links, self.links_at = {}, self.now
        if node.name not in self.links:
            self.links[node.name] = self.find_linked(node)
        return self.links[node.name]

    def find_linked(self, node):
        few = self.liars if node.name == self.besieged else self.liars[:max(1, (len(self.honest) - 1) // 2)] if self.liars else []
        honest = [peer for peer in self.honest if peer is not node and self.reaches(node, peer) and not peer.joining]
        few = few[:max(0, len(honest) - 1)] if node.name != self.besieged else few
        return few + honest if ord(node.name[-1]) % 2 else honest + few

    def cut_off(self, node):
        """How many honest neighbours of the node are out of reach now."""
        if self.besieged:
            return 0
        return sum(peer is not node and not self.reaches(node, peer) and not peer.joining for peer in self.honest)

    # ---- the schedule

    def tick(self):
        rand, dice = self.random, self.random.random()
        self.now += 1
        node = rand.choice(self.honest)
        if dice < .4:
            node.speak(rand.randint(1, 3))
        elif dice < .55 and self.liars:
            rand.choice(self.liars).act()
        elif dice < .72 and self.troubles:
            self.trouble(node, rand.choice(self.troubles))
        elif dice < .8:
            self.now += rand.choice([2, 11, 31])
        self.move()

    def trouble(self, node, what):
        if what == "part":
            self.side = {one.name: self.random.randrange(2) for one in self.honest} if self.random.random() < .5 else {}
        elif what == "away":
            self.side = {} if self.side and self.random.random() < .3 else self.side or {node.name: 1}
        elif what == "prune":
            for one in self.some(self.honest, self.random.choice([1, 3])):
                one.prune()
        elif what == "restart":
            node.restart()
        elif what == "save":
            self.saved[node.name] = node.snapshot()
        elif what == "restore" and node.name in self.saved and not node.joining:
            node.restore(self.saved.pop(node.name))
        elif what == "replay":
            key = self.some(sorted(self.runs), 1)
            if key:
                run = self.runs[key[0]]
                node.receive(run, {entry.key for entry in run}, "replay")
        elif what == "join" and len(self.honest) < 7:
            new = self.new_node(f"J{len(self.honest)}")
            new.joining, new.joined = Joining(self.now), self.now
            self.side[new.name] = self.side.get(node.name, 0)
            self.honest.append(new)

    def move(self):
        self.links_at = -1
        for node in self.honest:
            if node.joining:
                look_for_base(node)
                continue
            for peer in self.linked(node):
                if self.random.random() < self.lively and self.arrives():
                    for served in list(peer.offers(node)):
                        node.receive(*served, peer.name)
            node.step()
            node.maybe_say_again()
            if self.rules.away and node.name != self.besieged and self.random.random() < .2 and node.was_away():
                node.joining = Joining(self.now)

    def settle(self):
        self.side, self.lively, calm, last = {}, .6, 0, None
        for second in range(SETTLE_SECONDS):
            self.now += 1
            if second in (1, 60) or (second == 150 and any(node.abandoned for node in self.honest)):
                for node in self.honest:
                    node.speak(1)
            self.move()
            state = [(len(node.held), len(node.waiting), bool(node.joining), node.life, sum(node.told.values())) for node in self.honest]
            calm = calm + 1 if state == last else 0
            last = state
            if second > 65 and calm > (CALM_SECONDS if any(node.waiting or node.joining for node in self.honest) else 15):
                break

    # ---- the laws

    def check_past(self, node, entry):
        """Law 2: nothing is reported before its past, as far as that is held with its content."""
        for ref in entry.refs:
            held = node.held.get(ref)
            if held and held.state == "content" and held.entry.first not in node.told:
                self.broken("2 told before its past", (node.name, entry, held.entry))

    def check_base(self, node, headers):
        if node.name == self.besieged:
            return
        for entry in headers:
            peers = [peer for peer in self.linked(node) if peer in self.honest and len(peer.held) > self.page_size]
            page = max((sorted(peer.held)[-self.page_size - 1][0] for peer in peers), default=HUGE)
            if 2 * len(peers) > len(self.linked(node)) and entry.depth > page:
                self.broken("6 a base above the newest page", (node.name, entry))
            if entry.depth >= HUGE or not any(entry.key in peer.held or peer.forgotten(entry) for peer in self.honest if peer is not node):
                self.broken("6 an invented base", (node.name, entry))

    def excused(self, node, entry):
        """Below the base of the node: never to be reported there."""
        if entry.key in node.below or entry.seq <= node.base_seqs.get(entry.line, 0) or entry.depth <= node.base_depth < HUGE:
            return True
        return False

    def check(self):
        honest = [entry for entry in self.entries.values() if entry.honest]
        for node in self.honest:
            if node.joining:
                self.broken("6 without a base for long", (node.name, [peer.name for peer in self.linked(node)]))
                continue
            if node.base_depth >= HUGE and node.name != self.besieged:
                self.broken("6 silenced by a base", node.name)
            for entry in honest:
                holders = [peer.name for peer in self.linked(node) if peer in self.honest and peer.held.get(entry.key)
                           and peer.held[entry.key].state == "content"]
                if holders and entry.first not in node.told and not self.excused(node, entry):
                    state = node.held[entry.key].state if entry.key in node.held else "not held"
                    self.broken("2 an honest entry is not told", (node.name, entry, state, holders))
            for peer in self.linked(node):
                for key, held in peer.held.items():
                    if peer is node or key in node.held or node.is_old(held.entry) or node.below_edge(held.entry):
                        continue
                    if self.said_again(held.entry):
                        continue
                    law = "6 an honest entry is held up" if held.entry.honest else "7 one takes what another leaves waiting"
                    waits = next((list(node.missing(one)) for one in node.waiting.values() if held.entry in one.run), None)
                    self.broken(law, (node.name, "lacks", held.entry, "of", peer.name, held.state, waits))
        for node in self.honest:                # law 1: the order is by key; it must extend happened-before everywhere
            for key, held in node.held.items():
                if any(ref >= key for ref in held.entry.refs):
                    self.broken("1 order against happened-before", held.entry)

    def said_again(self, entry):
        return any(other.again and other.first == entry.first for other in self.entries.values())

    def check_restart(self):
        """Law 7: restarted nodes come to the same verdicts."""
        before = {node.name: set(node.held) for node in self.honest}
        waited = {node.name: {entry.key for one in node.waiting.values() if self.now - one.since > 30
                              for entry in one.run} for node in self.honest}
        for node in self.honest:
            node.restart()
        for _ in range(30):
            self.now += 1
            self.move()
        for node in self.honest:
            for key in (before[node.name] - set(node.held)) | (waited[node.name] & set(node.held)) - before[node.name]:
                if not self.entries[key].again and not node.joining and not self.excused(node, self.entries[key]) \
                        and not node.forgotten(self.entries[key]):
                    self.broken("7 another verdict after a restart", (node.name, self.entries[key]))


# set: troubles, habits of liars, number of liars, number of honest nodes
HABITS = ["strip", "edge", "cut", "silent", "hoard", "fork", "old", "deny", "replay"]
KINDS = {
    "honest": ([], [], 0, 3),
    "prune": (["prune", "part", "restart"], [], 0, 3),
    "replay": (["prune", "replay", "part"], [], 0, 3),
    "restore": (["prune", "save", "restore", "part"], [], 0, 3),
    "join": (["prune", "join", "part"], [], 0, 4),
    "away": (["prune", "away", "away"], [], 0, 4),
    "strip": (["prune", "part"], ["strip", "hoard", "silent"], 2, 4),
    "edge": (["prune", "part"], ["edge", "fork", "old"], 2, 4),
    "cut": (["prune", "join"], ["cut", "deny", "silent"], 2, 5),
    "liars": (["prune", "part", "restart"], HABITS, 2, 4),
    "besieged": (["prune", "restart"], HABITS, 3, 4),
    "everything": (["prune", "prune", "part", "restart", "save", "restore", "join", "away", "replay"], HABITS, 2, 5),
}


def run_set(kind, number, rules, first=0):
    total, smallest, seen = collections.Counter(), {}, collections.Counter()
    for seed in range(first, first + number):
        steps = random.Random(seed).choice([6, 10, 16, 30, 50, 80])
        world = World(seed, rules, kind, steps)
        seen += world.seen
        for law, (size, what) in world.found.items():
            total[law] += 1
            if law not in smallest or size < smallest[law][0]:
                smallest[law] = (size, seed, what)
    return total, smallest, seen


def report(kind, number, rules):
    total, smallest, seen = run_set(kind, number, rules)
    print(f"{kind:10} of {number}:", "all held" if not total else "", flush=True)
    for law in sorted(total):
        size, seed, what = smallest[law]
        print(f"    {law}: {total[law]}; smallest {size} entries, seed {seed}: {what[:260]}", flush=True)
    print("    came into play:", ", ".join(f"{number} {name}" for name, number in sorted(seen.items())), flush=True)


MUTATIONS = [       # name, changes, sets in which it is tried
    ("a bare header counts at once", {"bare": "at once"}, "strip,liars"),
    ("a bare header never counts", {"bare": "never"}, "strip,liars"),
    ("a bare header that is forgotten counts as told", {"bare_gap": False}, "join,away,liars"),
    ("a bare header is not wanted", {"wanted": -1}, "strip,replay,liars"),
    ("a bare header is wanted for 30 s only", {"wanted": 30}, "strip,replay,liars"),
    ("an edge is believed at any depth", {"edge_depth": False}, "edge,liars"),
    ("an edge is believed before all were asked, nothing is late below it", {"edge_cuts": False}, "prune,restore,liars"),
    ("edges by majority, with R8", MAJORITY, "prune,restore,edge,besieged"),
    ("edges by majority, without R8", MAJORITY | {"again": False}, "prune,restore,edge,besieged"),
    ("edges by majority, what is forgotten counts against", {"edge": "majority"}, "prune,restore,away,besieged"),
    ("no edges at all", {"edge": "none"}, "prune,restore,away"),
    ("a base is believed from one", {"base": "one"}, "cut"),
    ("R7's own form: one cut, confirmed by four", {"base": "cut"}, "join,cut,everything"),
    ("R7's own form, headers need not be below the page", {"base": "cut", "page": "none"}, "join,cut,everything"),
    ("union of cuts, headers need not be below the page", {"page": "none"}, "join,cut,everything"),
    ("references below the base's depth count (A)", {"below": "depth"}, "join,cut,everything"),
    ("who was away takes no base", {"away": False}, "away,restore,everything"),
    ("deleted content is told again", {"retell": True}, "replay"),
    ("nothing is remembered of forgotten headers", {"forget": "nothing"}, "replay,prune"),
    ("of forgotten headers only the depth is remembered", {"forget": "depth"}, "prune,away,restore"),
    ("the newest header of a life is forgotten", {"keep_newest": False}, "prune,away,restore"),
    ("headers are forgotten that most lack", {"keep_minority": False}, "prune,restore,liars"),
    ("both: newest forgotten, and that most lack", {"keep_newest": False, "keep_minority": False}, "prune,restore,liars"),
    ("headers that something waiting names are forgotten", {"keep_needed": False}, "prune,restore,away"),
    ("own unheld entries are pruned", {"keep_own": "no"}, "prune,restore,away"),
    ("own entries are pruned when one holds them", {"keep_own": "one"}, "prune,restore,liars"),
    ("neither newest, nor minority, nor needed, nor own headers kept",
     {"keep_newest": False, "keep_minority": False, "keep_needed": False, "keep_own": "no"}, "prune,restore,away,liars"),
    ("majority: one that says it holds is a veto against R8", MAJORITY | {"veto": True}, "prune,besieged"),
    ("majority: R8 without disputes", MAJORITY | {"dispute": False}, "besieged"),
    ("majority: what was said again is named at once", MAJORITY | {"shun": False}, "besieged"),
    ("majority: headers are forgotten that most lack", MAJORITY | {"keep_minority": False}, "prune,restore"),
]


def mutations(number, chosen):
    """One rule left out at a time: which laws break, how often, and in how small a history."""
    for name, changes, kinds in MUTATIONS:
        if chosen and chosen not in name:
            continue
        broken = {}
        for kind in kinds.split(","):
            total, smallest, _ = run_set(kind, number, dataclasses.replace(Rules(), **changes))
            for law in total:
                if kind == "besieged" and law.startswith("7 one takes"):
                    continue
                if law not in broken or smallest[law][0] < broken[law][1]:
                    broken[law] = (broken.get(law, (0,))[0] + total[law], smallest[law][0], smallest[law][1], kind, smallest[law][2])
                else:
                    broken[law] = (broken[law][0] + total[law],) + broken[law][1:]
        print(f"{name} [{kinds}, {number} each]:", "" if broken else "all held", flush=True)
        for law, (count, size, seed, kind, what) in sorted(broken.items()):
            print(f"    {law}: {count}; smallest {size} entries, {kind} seed {seed}: {what[:200]}", flush=True)


def main():
    number = int(sys.argv[1])
    kinds = list(KINDS) if len(sys.argv) < 3 or sys.argv[2] == "all" else sys.argv[2].split(",")
    mode = sys.argv[3] if len(sys.argv) > 3 else "held"
    if mode == "mutations":
        return mutations(number, sys.argv[4] if len(sys.argv) > 4 else "")
    rules = PAGE if mode == "page" else Rules()
    for change in sys.argv[4:]:
        name, value = change.split("=")
        kind = type(getattr(rules, name))
        rules = dataclasses.replace(rules, **{name: value == "True" if kind is bool else kind(value)})
    for kind in kinds:
        report(kind, number, rules)


if __name__ == "__main__":
    main()
