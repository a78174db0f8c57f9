// The rules (a) to (f) of docs/design/groups.md, section 3: every group within the bounds, and not a sample.
//
// Without bans, policies, forks proved and names. `by` is the authority: who signed an invitation counts as author.
open util/ordering[Op] as order

abstract sig Rank { below: set Rank }
one sig Out, Guest, Member, Moderator, Admin, Owner, Above extends Rank {}
fact ranks {
  no Out.below
  Guest.below = Out
  Member.below = Out + Guest
  Moderator.below = Out + Guest + Member
  Admin.below = Out + Guest + Member + Moderator
  Owner.below = Out + Guest + Member + Moderator + Admin
  Above.below = Rank - Above
}

sig User {}

// The order is that of (lamport, id).
sig Op { past: set Op, by: User, rank: Rank, says: User -> lone Rank }
sig Leave, Transfer, Token in Op {}
one sig First in Op {}

// Operations with the past of each, and those of them that are void.
abstract sig View { ops: set Op, void: set Op }
one sig All, Sub extends View {}
sig Past extends View { of: Op }

fact shape {
  First = order/first
  no First.past and First.rank = Owner and First.says = First.by -> Owner
  no Leave & Transfer and no (Leave + Transfer + Token) & First and no Token & (Leave + Transfer)
  all x: Op - First | First in x.past
  all x: Op | x.past in order/prevs[x] and x.past.past in x.past
  all x: Leave | x.says = x.by -> Out and x.rank != Owner
  all x: Transfer | x.rank = Owner and some to: User - x.by | x.says = to -> Owner + x.by -> Admin
  // Rule (a). One that says nothing of anybody is a change of the name.
  all x: Op - First - Leave - Transfer | lone x.says and User.(x.says) in x.rank.below
}

fact views {
  All.ops = Op
  First in Sub.ops and Sub.ops.past in Sub.ops
  all x: Op | one of.x
  all p: Past | p.ops = p.of.past
  all v: View | v.void = { x: v.ops - First - Leave | falls[v, x] }
}

// Rule (b): judged in its own past alone.
fact authority {
  all x: Op - First | let p = of.x {
    x.rank = role[p, p.ops, x.by, Guest] and x.rank != Out
    all u: x.says.Rank | x in Leave + Transfer or role[p, p.ops, u, Guest] in x.rank.below
    x in Transfer implies role[p, p.ops, x.says.Owner, Guest] != Out
  }
}

fun level[x: Op]: Rank { x in Leave => Above else x.rank }

pred isOfOwner[x: Op] { x.rank = Owner and x not in Token }

// The last that was given the group.
fun owner[v: View, s: set Op]: User {
  (order/max[{ x: s - v.void | Owner in User.(x.says) }]).says.Owner
}

// The most restrictive of what some operations say of somebody.
fun least[g: set Op, u: User]: set Rank { { r: u.(g.says) | no r.below & u.(g.says) } }

// Rule (d): the words of one rank, after those of higher ones.
fun step[g, w: set Op, l: Rank, u: User]: set Op {
  l in least[g, u] + least[g, u].below => g else
  let c = { x: w | level[x] = l and (g in x.past or (least[g, u] = Out and u.(x.says) = Out)) } |
    some c => (g + c) - (g + c).past else g
}

fun standing[w: set Op, u: User]: set Op {
  step[step[step[step[step[step[none, w, Above, u], w, Owner, u], w, Admin, u], w, Moderator, u], w, Member, u], w, Guest, u]
}

fun role[v: View, s: set Op, u: User, from: Rank]: Rank {
  u = owner[v, s] => Owner else
  let g = standing[{ x: s - v.void | some u.(x.says) and level[x] not in from.below }, u] |
    no g => Out else least[g, u] = Owner => Admin else least[g, u]
}

// Rules (c) and (e).
pred falls[v: View, x: Op] {
  (isOfOwner[x] and some y: v.ops - v.void | isOfOwner[y] and y in order/prevs[x] - x.past)
  or (some y: v.ops - v.void - Leave | x.rank in y.rank.below and y not in x.past and x not in y.past
      and some x.by.(y.says) and x.by.(y.says) in x.rank.below)
  or role[v, x.past, x.by, x.rank] in x.rank.below
}

// Law 5. What ranks up to r do, and no higher one built on, changes the fate of no operation of a rank above r.
assert lowerRanksChangeNothing {
  all r: Rank | (Op - Sub.ops).rank in r + r.below implies
    all x: Sub.ops | x.rank in r + r.below or (x in All.void iff x in Sub.void)
}

// Law 3.
assert nothingRestsOnWhatIsVoid {
  all x: Op - All.void - First - Leave | some g: x.past - All.void |
    some x.by.(g.says) and x.by.(g.says) not in x.rank.below
}

// Law 4.
assert oneOwner {
  one owner[All, Op]
  all u: User | role[All, Op, u, Guest] = Owner iff u = owner[All, Op]
}

// That the bounds have what is checked: a void operation, a transfer, and a difference below the rank.
pred lively {
  some All.void & Op and some Transfer and some Leave and some Token
  some x: Sub.ops | x in All.void and x not in Sub.void
}

run lively for 5 but 4 User, 7 Op, 9 View
check lowerRanksChangeNothing for 5 but 4 User, 5 Op, 7 View
check nothingRestsOnWhatIsVoid for 5 but 4 User, 5 Op, 7 View
check oneOwner for 5 but 4 User, 5 Op, 7 View
