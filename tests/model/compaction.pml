/* Compaction of the index beside a pruning run, a writer and a reader.
 *
 * Pack P holds chunk X, pack L another chunk that nobody condemns. Index object a (level 0) names both. Two compactors
 * replace what they listed by an object of a higher level; the pruner condemns P, copies X into pack Q with an index
 * object b of its own, and deletes P. Promise: L is found by whoever lists the index, all the time (I10, I9); so is X by
 * a good copy, once the writer's snapshot is acknowledged.
 *
 * One statement or atomic block is one request; a LIST is several: one a level, lowest first, as names order. A process
 * may stop for ever anywhere. WRONG_ macros must be refuted. */
#define LEVELS 3
byte present = 1;                   /* index objects: a = 1, level 1 of compactor i = 2 << 2i, level 2 = 4 << 2i */
byte with_p = 1, with_l = 1;        /* which of them name P, L */
bit p_there = 1, q_there = 0, q_indexed = 0, condemned = 0, writer_open = 0, writer_fenced = 0, snap = 0, voided = 0;

#define AT_LEVEL(n) (n == 0 -> 1 : (n == 1 -> 10 : 20))   /* bits 1 and 3; 2 and 4 */
#define X_READABLE ((p_there && (present & with_p)) || (q_there && q_indexed))
#define L_LISTED (present & with_l)
#define CHECK assert(L_LISTED && (X_READABLE || !snap || voided))

/* A LIST of index/, page by page. */
inline list_index(into, n) {
  into = 0;
#ifdef WRONG_REPLACEMENT_SORTS_FIRST
  n = LEVELS;
  do :: n > 0 -> n--; into = into | (present & AT_LEVEL(n)) :: else -> break od;
#else
  n = 0;
  do :: n < LEVELS -> into = into | (present & AT_LEVEL(n)); n++ :: else -> break od;
#endif
  n = 0
}

proctype Reader() {
  byte saw, n;
  list_index(saw, n);
  assert(saw & with_l)              /* what vanished since is listed again; but something names L */
}

proctype Writer() {
  byte saw, n;
  bit no;
  writer_open = 1;
  no = condemned;
  list_index(saw, n);
  if
  :: !no && (saw & with_p) -> skip  /* refer to X in P */
  :: else -> goto done              /* store it: no concern of this model */
  fi;
  atomic { snap = 1; CHECK };
  if :: writer_fenced -> goto done :: else fi;
  writer_open = 0;
done: skip
}

proctype Compactor(byte me) {
  byte saw, n, mine;
  bit dropped;
  list_index(saw, n);
  mine = ((saw & 30) -> 4 : 2) << (2 * me);           /* 1 + the highest level that it replaces */
  if :: (saw & 20) -> goto done :: else fi;           /* no higher level in this model */
#ifdef WRONG_DELETE_BEFORE_PUT
  atomic { present = present & ~saw; CHECK };
#endif
  dropped = condemned && !p_there;                    /* entries of a pack go once it is condemned and deleted */
#ifdef WRONG_DROP_WHAT_IS_CONDEMNED
  dropped = condemned;
#endif
  atomic {                                            /* PUT the replacement */
    present = present | mine;
    if :: saw & with_l -> with_l = with_l | mine :: else fi;
    if :: (saw & with_p) && !dropped -> with_p = with_p | mine :: else fi;
    CHECK };
#ifdef WRONG_DELETE_WHAT_WAS_NOT_READ
  saw = present & ~mine;
#endif
  atomic { present = present & ~saw; CHECK };         /* DELETE what it names as replaced */
done: skip
}

proctype Pruner() {
  condemned = 1;
  if                                                  /* the barrier: the writer is not open, or fenced */
  :: !writer_open -> skip
  :: writer_fenced = 1; atomic { if :: !snap -> voided = 1 :: else fi }
  fi;
  if
  :: snap && !voided ->
#ifndef WRONG_INDEX_OF_THE_COPY_LATER
       q_there = 1; q_indexed = 1
#else
       q_there = 1
#endif
  :: else
  fi;
  atomic { p_there = 0; CHECK };
  if :: q_there && !q_indexed -> q_indexed = 1 :: else fi
}

init { atomic { run Reader(); run Writer(); run Compactor(0); run Compactor(1); run Pruner() } }
