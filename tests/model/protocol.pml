/* Sessions and maintenance of one repository, reduced to one chunk X that an old snapshot needs.
 *
 * Promise that is checked after every step: while some snapshot that counts needs X, a pack with good bytes of X is
 * there and indexed. What counts: the old snapshot until it is forgotten, every acknowledged one, and every one that no
 * seal voids.
 *
 * One statement (or atomic block) is one request to a linearizable store. A process may stop for ever between any two:
 * that is a crash, and a pause of any length. There is no clock. Sets are bit masks. Names of packs and sessions are
 * used once. Left out: late duplicates of PUTs (records only grow, so they change nothing), pages of a LIST, what the
 * chunk is part of.
 *
 *   WRITERS  sessions that back up      SNAPS  snapshots in each
 *   RUNS     maintenance runs at once   PACKS  pack names; pack 0 holds X from the start
 *   JUNK     a hostile writer has indexed pack 1, which holds junk under X's id
 *   LATER    a run may leave its barrier to a later run, which drops the pack once that barrier has passed
 *
 * Macros that begin with WRONG_ put the steps in an order, or leave one out, that must be refuted. docs/PROTOCOL.md
 * says which functions of the program take which steps. */
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef SNAPS
#define SNAPS 1
#endif
#ifndef RUNS
#define RUNS 2
#endif
#ifndef PACKS
#define PACKS 3
#endif
#define BIT(i) (1 << (i))
#define SESSION_SNAPS(s) (((1 << SNAPS) - 1) << ((s) * SNAPS))
#define SNAP(s, k) (1 << ((s) * SNAPS + (k)))

#ifdef JUNK
byte there = 3, indexed = 3, junk = 2, next_pack = 2;
#else
byte there = 1, indexed = 1, junk = 0, next_pack = 1;
#endif
byte condemned = 0;
byte opened = 0, ended = 0, fenced = 0, sealed = 0;   /* sessions; those of runs follow those of writers */
byte snaps = 0, acked = 0, voided = 0;
bit forgotten = 0;                                     /* the old snapshot's tombstone */
byte barrier[PACKS];                                   /* 1 + the sessions open when the pack's record was answered */

#define READABLE ((there & indexed & ~junk) != 0)
#define NEEDED (!forgotten || acked || (snaps & ~voided))
#define CHECK assert(READABLE || !NEEDED)

proctype Forget() { forgotten = 1; CHECK }

proctype Writer(byte me) {
  byte no, may, own, q, k;
  bit live;
#ifdef WRONG_VIEW_BEFORE_SESSION
  atomic { no = condemned; may = indexed };
  opened = opened | BIT(me);
#else
  opened = opened | BIT(me);           /* 1 PUT sessions/<s> */
  no = condemned;                      /* 2 LIST maint/ */
  may = indexed;                       /* 3 LIST index/ */
#endif
  live = !forgotten;
  atomic { may = may & ~no & ~junk; no = 0 };   /* that junk is not relied on is check's business, not this model's */
  do
  :: k < SNAPS ->
     if                                /* 4 refer to what the view holds, or store it */
#ifdef WRONG_PARENT_IS_ENOUGH
     :: live -> skip                   /* I11 left out: the parent was live, so its chunks must be there */
#endif
     :: ((may | own) != 0) -> skip
     :: atomic { next_pack < PACKS -> q = next_pack; next_pack++; there = there | BIT(q) };
        atomic { indexed = indexed | BIT(q); own = own | BIT(q); q = 0 }
     :: (may | own) == 0 && next_pack >= PACKS -> goto dead
     fi;
#ifdef WRONG_CHECK_BEFORE_COMMIT
     if :: fenced & BIT(me) -> goto dead :: else fi;
     atomic { snaps = snaps | SNAP(me, k); CHECK };
     atomic { acked = acked | SNAP(me, k); CHECK };
#else
     atomic { snaps = snaps | SNAP(me, k); CHECK };      /* 6 PUT the snapshot */
# ifdef WRONG_NO_FENCE_CHECK
     atomic { acked = acked | SNAP(me, k); CHECK };
# else
     atomic {                          /* 7 HEAD the own fence */
       if
       :: fenced & BIT(me) -> goto dead
       :: else -> acked = acked | SNAP(me, k); CHECK
       fi };
# endif
#endif
     k++
  :: k == SNAPS -> break
  od;
  ended = ended | BIT(me);             /* 8 PUT sessions/<s>.end */
dead: skip
}

proctype Run(byte me) {
  byte p, wait, s, list, no, may, q, before;
  opened = opened | BIT(me);           /* 0 */
#ifdef WRONG_LIST_BEFORE_CONDEMN
  wait = opened & ~ended & ~BIT(me);
#endif
  if
  :: atomic { true ->                  /* A PUT condemn, of any pack that is there */
       p = 0; do :: p < PACKS - 1 -> p++ :: break od;
       if :: there & BIT(p) -> condemned = condemned | BIT(p) :: else -> goto dead fi };
#ifdef WRONG_LIST_BEFORE_FENCE
     list = snaps;
#endif
#ifndef WRONG_LIST_BEFORE_CONDEMN
     wait = opened & ~ended & ~(fenced & sealed) & ~BIT(me);   /* B LIST sessions */
#endif
#ifdef LATER
     if
     :: barrier[p] = wait + 1; goto over    /* the catalog says so; some later run goes on */
     :: skip
     fi
#endif
#ifdef LATER
  :: atomic { true ->                  /* what an earlier run left */
       p = 0; do :: p < PACKS - 1 -> p++ :: break od;
       if :: barrier[p] && (there & BIT(p)) -> wait = barrier[p] - 1 :: else -> goto dead fi };
#ifdef WRONG_LIST_BEFORE_FENCE
     list = snaps
#endif
#endif
  fi;
  do                                   /* C each of these sessions has ended, or is fenced */
  :: wait == 0 -> break
  :: atomic { wait != 0 ->
       s = 0; do :: wait & BIT(s) -> break :: else -> s++ od;
       if
       :: ended & BIT(s) -> skip
       :: fenced = fenced | BIT(s)
#ifdef WRONG_DO_NOT_WAIT
       :: skip
#endif
       fi;
       wait = wait & ~BIT(s); s = 0 }
  od;
  before = fenced;
#ifndef WRONG_LIST_BEFORE_FENCE
  list = snaps;                        /* D LIST snapshots (then index) */
#endif
#ifdef WRONG_SEAL_WHAT_IS_FENCED_LATER
  before = fenced;
#endif
#ifndef WRONG_NO_SEAL
  atomic {                             /* E seal every session that was fenced before that LIST */
    s = 0;
    do
    :: s < WRITERS ->
       if :: before & BIT(s) -> voided = voided | (SESSION_SNAPS(s) & ~list) :: else fi; s++
    :: else -> break
    od;
    sealed = sealed | before; before = 0; s = 0 };
#endif
  no = condemned;                      /* F LIST maint/, LIST index/, mark */
  may = indexed;
  if
  :: atomic { forgotten && (list & ~voided) == 0 -> no = 0; may = 0; list = 0 }     /* nobody needs X */
#ifdef WRONG_COUNT_CONDEMNED
  :: atomic { (!forgotten || (list & ~voided)) && (may & there & ~junk & ~BIT(p)) -> no = 0; may = 0; list = 0 }
#else
# ifdef WRONG_BELIEVE_THE_INDEX
  :: atomic { (!forgotten || (list & ~voided)) && (may & ~no) -> no = 0; may = 0; list = 0 }
# else
  /* another copy, in an indexed pack that nobody condemned, was read and is equal */
  :: atomic { (!forgotten || (list & ~voided)) && (may & ~no & there & ~junk) -> no = 0; may = 0; list = 0 }
# endif
#endif
#ifdef WRONG_RESURRECT
  :: atomic { (!forgotten || (list & ~voided)) && (may & ~no & there & ~junk) == 0 ->
       condemned = condemned & ~BIT(p); no = 0; may = 0; list = 0; goto over }
#else
  :: atomic { (!forgotten || (list & ~voided)) && (may & ~no & there & ~junk) == 0 -> no = 0; may = 0; list = 0;
       if                              /* copy it out */
       :: next_pack < PACKS && (there & BIT(p)) ->
            q = next_pack; next_pack++; there = there | BIT(q);
            if :: junk & BIT(p) -> junk = junk | BIT(q) :: else fi
       :: else -> goto dead            /* it is gone, or this model has no name left */
       fi };
     atomic { indexed = indexed | BIT(q); q = 0 }
#endif
  fi;
  if :: fenced & BIT(me) -> goto dead :: else fi;        /* G HEAD the own fence */
  atomic { there = there & ~BIT(p); p = 0; CHECK };      /* DELETE the pack */
over:
  ended = ended | BIT(me);
dead: skip
}

init {
  byte i;
  atomic {
    run Forget();
    i = 0; do :: i < WRITERS -> run Writer(i); i++ :: else -> break od;
    i = 0; do :: i < RUNS -> run Run(WRITERS + i); i++ :: else -> break od;
    i = 0 } }
