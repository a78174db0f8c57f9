-- What stands of a group's operations: docs/design/groups.md §3, rules (a) to (f), in relations.
-- Members may add, the widest policy. Left out: bans, changes of policy, names, proofs of forks, an OWNER's leaving. A line that ends in [NAME] is a
-- rule that check.py takes out, to see that a law fails then.
module resolver

open util/ordering[Op] as order

enum Rank { Out, Guest, Member, Moderator, Admin, Owner, Above }

sig Person {}

-- What a set of operations that has the past of each amounts to.
abstract sig View {
  of: set Op,
  void: set Op,
  -- The words on somebody that count.
  words: Person -> Op,
  -- The same for the authority of an operation: in that one's past, of its rank and above.
  under: Op -> Op,
  -- What everybody is, and what an authority is in its operation's past.
  is: Person -> one Rank,
  may: Op -> lone Rank
}
-- The past of an operation.
sig Past extends View {}
-- What a node holds.
sig Held extends View {}

abstract sig Op {
  author, authority: one Person,
  past: set Op,
  -- The rank that it says somebody has.
  says: Person -> lone Rank,
  -- What its authority and its author have in its past.
  rank, own: one Rank,
  -- Leaving stands above every rank.
  level: one Rank,
  in_: one Past
}
one sig Create extends Op {}
-- An addition, by its author or, as an invitation, by who signed it.
sig Add extends Op {}
sig SetRole, Remove, Leave, Give extends Op {}

fun subject[o: Op]: Person { o in Give => { p: Person | o.says[p] = Owner } else o.says.Rank }
pred ofOwner[o: Op] { o.own = Owner and o.rank = Owner and o.authority = o.author }
pred concurrent[a, b: Op] { a not in b.past and b not in a.past and a != b }

-- Rule (d): a word counts if it knows all that counts of higher ranks, or agrees with them that somebody is out; and
-- if they did not make the person its equal or more. What a later one that counts knows is replaced.
pred counts[w: Op, counting: set Op, p: Person] {
  let higher = { x: counting | gt[x.level, w.level] }, kept = higher - higher.past {
    no kept or (some k: kept | lt[k.says[p], w.level])
    higher in w.past or (w.says[p] = Out and Out in kept.says[p]) -- [knows]
  }
}

-- The most restrictive of what is not replaced. Nobody is OWNER by a word.
fun lowest[counting: set Op, p: Person]: Rank {
  let found = (counting - counting.past).says[p], low = found - found.nexts |
    no found => Out else low = Owner => Admin else low
}

-- Rule (e): the line of the owners.
fun line[v: View]: set Op { { o: v.of - v.void | ofOwner[o] } }
fun owner[v: View, within: set Op]: Person {
  let seats = line[v] & within & (Create + Give) | subject[seats - seats.prevs]
}

fact Ranks {
  all v: View {
    all p: Person {
      v.words[p] = { w: v.of - v.void | some w.says[p] and counts[w, v.words[p], p] }
      v.is[p] = (p = owner[v, v.of] => Owner else lowest[v.words[p], p])
    }
    all o: v.of {
      v.under[o] = { w: o.past - v.void | some w.says[o.authority] and gte[w.level, o.rank]
        and counts[w, v.under[o], o.authority] }
      v.may[o] = (o.authority = owner[v, o.past] => Owner else lowest[v.under[o], o.authority])
    }
    no v.under[Op - v.of] and no v.may[Op - v.of]
  }
  all o: Op | o.level = (o in Leave => Above else o.rank)
}

-- Rules (c), (e) and (f).
pred falls[v: View, o: Op] {
  o not in Create + Leave
  (some other: v.of - v.void | overrules[other, o])
    or (ofOwner[o] and some first: line[v] & prevs[o] | first not in o.past) -- [line]
    or lt[v.may[o], o.rank] -- [rests]
}

-- A word of a higher rank that says its authority has less.
pred overrules[other, o: Op] {
  concurrent[other, o] -- [concurrent]
  lt[o.rank, other.rank] -- [higher]
  other not in Leave
  some other.says[o.authority] -- [authority]
  lt[other.says[o.authority], o.rank]
}

fact Order {
  Create = first
  all o: Op {
    o.past in prevs[o]
    o.past.past in o.past
    o != Create implies Create in o.past
    o.in_.of = o.past
  }
  Past = Op.in_
  all v: View | v.of.past in v.of and v.void = { o: v.of | falls[v, o] }
  all h: Held | Create in h.of
}

-- What may be done: docs/design/groups.md §2.
fact Authority {
  all o: Op - Create {
    o.rank = o.in_.is[o.authority]
    o.own = o.in_.is[o.author]
    gte[o.rank, Guest] and gte[o.own, Guest]
    o not in Add implies o.authority = o.author
  }
  Create.rank = Owner and Create.own = Owner and Create.authority = Create.author
  Create.says = Create.author -> Owner
  all o: Add + SetRole + Remove {
    one o.says
    lt[o.says[subject[o]], o.rank] and lt[o.in_.is[subject[o]], o.rank]
    subject[o] != o.author
  }
  all o: Add {
    o.says[subject[o]] != Out and o.in_.is[subject[o]] = Out and gte[o.rank, Member]
    o.authority != o.author implies gte[o.own, Member] and subject[o] != o.authority
  }
  all o: SetRole | o.says[subject[o]] != Out and o.in_.is[subject[o]] != Out and gte[o.rank, Admin]
  all o: Remove | o.says[subject[o]] = Out and o.in_.is[subject[o]] != Out and gte[o.rank, Moderator]
  all o: Leave | o.says = o.author -> Out and o.rank != Owner
  all o: Give | o.rank = Owner and (some p: Person - o.author {
    o.says = o.author -> Admin + p -> Owner and o.in_.is[p] != Out
  })
}

-- The same operations amount to the same: whether one is void has one answer.
assert OneAnswer { all v, w: View | v.of = w.of implies v.void = w.void }

-- Law 2. Leaving is no removal: it voids nothing.
assert RemovalHolds {
  all v: View, o: v.of - v.void, r: v.of - v.void - Leave |
    concurrent[o, r] and lt[o.rank, r.rank] and some r.says[o.authority] and lt[r.says[o.authority], o.rank]
      implies o in Leave + Create
}

-- Law 3: what stands would stand if what is void had never been.
assert RestsOnNothingVoid {
  all v: View, o: v.of - v.void - Leave - Create | gte[v.may[o], o.rank]
}

-- Law 4.
assert OneOwner { all v: View | some v.of implies one p: Person | v.is[p] = Owner }
-- No two that did not know of each other stand in the line of the owners.
assert OneLine { all v: View, a, b: line[v] | not concurrent[a, b] }

-- Law 5: what ranks up to one do or leave out changes what becomes of no operation of a rank above.
assert RanksBelowChangeNothing {
  all v, w: Held, r: Rank |
    let above = { o: Op | gt[o.rank, r] } | v.of & above = w.of & above implies v.void & above = w.void & above
}

-- Law 6: an addition by invitation falls with who signed it, and not with who brought it.
assert InvitationFallsWithItsSigner {
  all v: View, o: v.of & Add, r: v.of - v.void - Leave - Create |
    concurrent[o, r] and lt[o.rank, r.rank] and r.says[o.authority] = Out implies o in v.void
}
assert InvitationOutlivesItsBringer {
  all v: View, o: v.of & Add |
    o.authority != o.author and no v.void & o.past
        and (no r: v.of - v.void | concurrent[o, r] and some r.says[o.authority])
      implies o not in v.void
}

-- Who is removed is out, but for words that know of it and words of a higher rank.
assert RemovedIsOut {
  all v: View, r: (v.of - v.void) & Remove |
    (no w: v.of - v.void - r | some w.says[subject[r]] and (r in w.past or gt[w.level, r.level]))
        and subject[r] != owner[v, v.of]
      implies v.is[subject[r]] = Out
}

-- What a rank says of somebody is not undercut by lower ones that did not know.
assert LowerWordsYield {
  all v: View, r: (v.of - v.void) & SetRole |
    (all w: v.of - v.void - r | some w.says[subject[r]] implies w in r.past or (concurrent[w, r] and lt[w.level, r.level]))
        and subject[r] != owner[v, v.of]
      implies v.is[subject[r]] = r.says[subject[r]]
}

-- Only what others did meanwhile voids anything.
assert InOrderNothingIsVoid {
  all v: View | (all a, b: v.of | not concurrent[a, b]) implies no v.void
}

-- That the rules do not exclude what they are about.
pred interesting {
  some h: Held | h.of = Op and some h.void and some o: h.of & Add | o.authority != o.author and o in h.void
}
pred given { some h: Held | h.of = Op and some Give & h.void and some Give - h.void }

run interesting for 5 but 4 Person, 5 Past, 1 Held
run given for 5 but 4 Person, 5 Past, 1 Held
check OneAnswer for 4 but 3 Person, 4 Past, 2 Held
check OneOwner for 4 but 4 Person, 4 Past, 1 Held
check OneLine for 5 but 3 Person, 5 Past, 1 Held
check RemovalHolds for 5 but 4 Person, 5 Past, 1 Held
check RestsOnNothingVoid for 4 but 4 Person, 4 Past, 1 Held
check RanksBelowChangeNothing for 4 but 4 Person, 4 Past, 2 Held
check InvitationFallsWithItsSigner for 5 but 4 Person, 5 Past, 1 Held
check InvitationOutlivesItsBringer for 4 but 4 Person, 4 Past, 1 Held
check RemovedIsOut for 4 but 4 Person, 4 Past, 1 Held
check InOrderNothingIsVoid for 4 but 4 Person, 4 Past, 1 Held
check LowerWordsYield for 5 but 3 Person, 5 Past, 1 Held
