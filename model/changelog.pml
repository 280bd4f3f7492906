/* changelog.pml - where a state is found: open epoch, sealed batch, log (active, frozen), table.
 *
 * An engine changes the states of KEYS actors.  Each commit appends what the sealed epoch changed to the
 * active generation of a log, and moves a little of the frozen generation into the table; when all of it is
 * there, it trims a little of its front.  Whoever reads must find the newest version that it may see.
 *
 * Modelled, as lib/lmdb/log.h, sweep.h, snapshot.h and store.h do it
 * - Generations: a full active one freezes when nothing is frozen, in memory alone.  A record says of which
 *   generation it is; the two are found again from that.  The sweep's position is in memory only.
 * - A commit in three steps, between which turns run and snapshots open: freeze, and add to the index; the
 *   transaction counts; memory follows (a generation that was trimmed is dropped).
 * - It may fail known (undone, the index taken back, the same batch again, perhaps without a sweep) or unknown
 *   (suspect: no snapshot opens, until none is open; then the file's epoch says what became of the batch, the
 *   log is read into a new index and the sweep starts again).  It may also fail before it has begun.
 * - Tidying: a sweep alone, when no batch waits.
 * - Deletions, which are records too.
 * - An actor that leaves memory when it is clean and durable; it comes back through a snapshot of that moment.
 * - A snapshot of another thread: it holds the generations that there are, reads through their index, and
 *   walks over the log's rows without it.
 * - A crash between any two steps.
 *
 * The rule, in the terms below.  A snapshot is (front, end, table) and the generations first..last.  It reads
 * the newest record of the key that is in the index, in a generation that it holds, and in its front..end;
 * else its table.  A record before its front was trimmed, hence is in its table.
 *
 * Must hold in every durable image: what a reader of it finds is what was committed last.  And whenever a
 * state is read: it is what the last turn left, or what the snapshot's epoch had.
 *
 * Abstracted: chunks of many records (here one record, so trimming stops at more places), hashes, numbers
 * that start again when a restart finds the log empty, how errors and crashes leave the file whole (commit.pml).
 *
 * Bounds: KEYS, WRITES, EPOCHS (some without a change), FULL (records that fill a generation), SLICE (keys a
 * sweep), TRIM (records a trim), CRASHES, ERRORS, READERS (snapshots taken).
 *
 * BUG, each must be refuted; 0 must pass
 *  1 trims before all keys were moved
 *  2 sweeps the actor's memory, in a turn that is then undone
 *  3 reads look at the table before the log
 *  4 keeps the sweep's position though the transaction that swept was undone
 *  5 drops a deletion instead of the table's row
 *  6 evicts what is sealed but not durable
 *  7 a generation's index goes when it was trimmed, though a snapshot holds it
 *  8 takes the index back too far: as it was before the transaction before this one
 *  9 freezes while a generation is still frozen
 * 10 sweeps the actor's memory between two turns, which may be of an epoch that is never committed
 * 11 a snapshot first takes the generations, then its transaction
 * 12 the index is filled after the transaction counts
 * 13 the index is kept over a reopen, without the epoch that was found there
 * 14 a snapshot first takes its transaction, then the generations
 * HARMLESS=1 must pass too: the sweep takes the newest version, also of the active generation.  The log still
 * has it and wins until it is swept itself.
 *
 * GOAL, each must be reached: 1 two generations are gone; 2 a crash with a generation half trimmed; 3 a reader
 * finds a record that the file no longer has; 4 a state is loaded from the table; 5 a reopen while half swept;
 * 6 a reader opens when its generation is trimmed and not yet dropped; 7 a batch goes in without a sweep, after
 * an attempt that had one; 8 a state is loaded through an index that is ahead of the file. */
#ifndef BUG
#define BUG 0
#endif
#ifndef HARMLESS
#define HARMLESS 0
#endif
#ifndef GOAL
#define GOAL 0
#endif
#ifndef KEYS
#define KEYS 2
#endif
#ifndef WRITES
#define WRITES 4
#endif
#ifndef EPOCHS
#define EPOCHS 6
#endif
#ifndef FULL
#define FULL 2
#endif
#ifndef SLICE
#define SLICE 1
#endif
#ifndef TRIM
#define TRIM 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ERRORS
#define ERRORS 1
#endif
#ifndef READERS
#define READERS 1
#endif

#define ABSENT 0    /* a deletion in the log, no row in the table; versions are 1, 2, ... */
#define NONE 255    /* no such record */
#define HALF 254    /* of a turn that is then undone */
#define reach(goal) assert(GOAL != goal)

/* -- the file, and what the index says --------------------------------------------------------------- */

typedef record { byte key; byte version; byte generation };
record log[WRITES]; /* by number, for good: trimming only moves `front`; in the file those before file.end */

typedef snapshot {
    byte epoch;
    byte front, end;       /* the log: records front .. end-1 */
    byte table[KEYS];
    byte committed[KEYS];  /* not in the file: what a read of it must find */
};
snapshot file;

/* -- memory ------------------------------------------------------------------------------------------ */

byte indexed;      /* records before this one are in the index */
byte before;       /* as it was when the last transaction began */
byte bound;        /* records front .. bound-1 are frozen */
byte youngest = 1; /* the generation's number */
bit has_frozen;    /* youngest - 1 is */
byte dropped;      /* BUG 7: these generations have no index any more */
byte swept;        /* keys 0 .. swept-1 of the frozen generation are in the table, if the transaction counts */
byte slice, front; /* of the transaction under way: what it sweeps ends at `swept`, and trims to here */

mtype = { IDLE, WRITTEN, COUNTS };
mtype phase = IDLE;
bit sealed, tidying;
bit suspect;
bit has_swept;     /* an earlier attempt of this batch did, for GOAL 7 */
byte batch_epoch;
byte durable;      /* the engine's: newest settled epoch */

typedef change { bit there; byte version };
change open[KEYS], batch[KEYS];

snapshot old;      /* the reader's */
byte first, last;  /* generations that it holds */
mtype = { NO, BEGUN, HELD };
mtype reading = NO;
bit resident[KEYS];
byte latest[KEYS]; /* what the last turn left; an actor in memory has it */

byte writes = 0, crashes = 0, errors = 0, readers = 0;
byte generations = 0; /* that are gone, for GOAL 1 */

hidden byte i, k, at, found, lowest, highest, eldest;

/* -- reading ----------------------------------------------------------------------------------------- */

#define MAX(a, b) (a > b -> a : b)
#define MIN(a, b) (a < b -> a : b)

/* The newest record of a key in low..high-1, of generations from..to. */
inline newest(low, high, from, to, wanted)
{
    at = NONE;
    i = high;
    do
    :: i > low -> i--;
       if
       :: log[i].key == wanted && log[i].generation >= from && log[i].generation <= to -> at = i; break
       :: else
       fi
    :: else -> break
    od
}

inline read(where, beyond, least, most, which)
{
    lowest = where.front;
    newest(lowest, beyond, least, most, which);
    if
    :: at == NONE -> found = where.table[which]
    :: else -> found = log[at].version
    fi;
    if :: BUG == 3 && where.table[which] != ABSENT -> found = where.table[which] :: else fi
}

/* Through the index, and as a walk does. */
inline read_indexed(through, oldest_held, newest_held, whose)
{
    highest = MIN(through.end, indexed);
    eldest = MAX(oldest_held, dropped);
    read(through, highest, eldest, newest_held, whose)
}
inline walk(along, whose_) { highest = along.end; read(along, highest, 0, NONE, whose_) }

inline copy(into, source)
{
    into.epoch = source.epoch; into.front = source.front; into.end = source.end;
    k = 0;
    do
    :: k < KEYS -> into.table[k] = source.table[k]; into.committed[k] = source.committed[k]; k++
    :: else -> break
    od;
    k = 0
}

inline check_file()
{
    k = 0;
    do
    :: k < KEYS -> walk(file, k); assert(found == file.committed[k]); k++
    :: else -> break
    od;
    k = 0
}

inline check_reader()
{
    k = 0;
    do
    :: k < KEYS ->
       walk(old, k);
       assert(found == old.committed[k]);
       read_indexed(old, first, last, k);
       assert(found == old.committed[k]);
       if :: at != NONE && at < file.front -> reach(3) :: else fi;
       k++
    :: else -> break
    od;
    k = 0
}

/* Nobody reads these again: fewer states. */
inline tidy_up()
{
    i = 0;
    do
    :: i < WRITES && (i < file.front && (reading == NO || i < old.front) || i >= MAX(indexed, file.end)) ->
       log[i].key = 0; log[i].version = 0; log[i].generation = 0; i++
    :: i < WRITES && !(i < file.front && (reading == NO || i < old.front) || i >= MAX(indexed, file.end)) -> i++
    :: i == WRITES -> break
    od;
    i = 0
}

/* -- a transaction ----------------------------------------------------------------------------------- */

#define LAST_FROZEN (has_frozen && swept == KEYS)

inline freeze()
{
    if
    :: indexed - bound >= FULL && (!has_frozen || BUG == 9) ->
       bound = indexed; youngest++; has_frozen = 1;
       if :: BUG != 9 -> swept = 0 :: else fi
    :: else
    fi
}

/* Which part is swept and trimmed is decided now, and done when the transaction counts. */
inline plan(sweeps)
{
    slice = swept; front = file.front;
    if
    :: sweeps && has_frozen ->
       swept = MIN(swept + SLICE, KEYS);
       if
       :: swept == KEYS || BUG == 1 -> front = MIN(file.front + TRIM, bound)
       :: else
       fi
    :: else
    fi
}

inline append_batch()
{
    assert(indexed == file.end); /* rows follow each other: else LMDB refuses them, or there is a gap */
    k = 0;
    do
    :: k < KEYS ->
       if
       :: batch[k].there ->
          log[indexed].key = k; log[indexed].version = batch[k].version; log[indexed].generation = youngest;
          indexed++
       :: else
       fi;
       k++
    :: else -> break
    od;
    k = 0
}

inline sweep_key(moved)
{
    lowest = file.front;
    highest = (HARMLESS == 1 -> file.end : bound);
    newest(lowest, highest, 0, NONE, moved);
    if
    :: at == NONE
    :: else ->
       if
       :: BUG == 5 && log[at].version == ABSENT
       :: BUG == 2 && resident[moved] -> file.table[moved] = HALF
       :: BUG == 10 -> file.table[moved] = latest[moved]
       :: else -> file.table[moved] = log[at].version
       fi
    fi
}

/* All at once, and not half: commit.pml. */
inline count()
{
    do
    :: slice < swept -> sweep_key(slice); slice++
    :: else -> break
    od;
    file.front = front;
    if
    :: sealed && !tidying ->
       k = 0;
       do
       :: k < KEYS -> if :: batch[k].there -> file.committed[k] = batch[k].version :: else fi; k++
       :: else -> break
       od;
       k = 0;
       file.end = (BUG == 12 -> before : indexed);
       if :: BUG == 12 -> append_batch(); file.end = indexed; indexed = before :: else fi;
       file.epoch = batch_epoch
    :: else
    fi;
    check_file()
}

inline finish() { phase = IDLE; tidying = 0; slice = 0; front = 0; tidy_up() }

/* Memory follows a transaction that counts. */
inline after_commit()
{
    if :: BUG == 12 -> indexed = file.end :: else fi;
    if
    :: has_frozen && file.front == bound ->
       has_frozen = 0; swept = 0;
       if :: GOAL == 1 -> generations++ :: else fi;
       if :: BUG == 7 -> dropped = youngest :: else fi
    :: else
    fi;
    if
    :: sealed && !tidying ->
       if :: GOAL == 7 && has_swept && slice == 0 -> reach(7) :: else fi;
       settle()
    :: else
    fi;
    finish();
    if :: generations == 2 -> reach(1) :: else fi
}

/* ... and one that was undone. */
inline undo()
{
    indexed = before;
    if :: BUG != 4 -> swept = 0 :: else fi;
    finish()
}

/* -- the engine -------------------------------------------------------------------------------------- */

/* What a start and a reopen find out from the log. */
inline read_log()
{
    if :: BUG != 13 -> indexed = file.end :: else fi;
    before = (BUG == 8 -> indexed : 0);
    bound = file.end;
    youngest = (file.end > file.front -> log[file.end - 1].generation : 1);
    do
    :: bound > file.front && log[bound - 1].generation == youngest -> bound--
    :: else -> break
    od;
    i = file.front;
    do
    :: i < bound -> assert(log[i].generation + 1 == youngest); i++ /* two generations, in order */
    :: else -> break
    od;
    has_frozen = bound > file.front;
    swept = 0; dropped = 0;
    finish()
}

inline settle()
{
    k = 0;
    do
    :: k < KEYS -> batch[k].there = 0; batch[k].version = 0; k++
    :: else -> break
    od;
    k = 0;
    if :: sealed -> durable = batch_epoch :: else fi;
    batch_epoch = 0; sealed = 0; has_swept = 0
}

inline seal()
{
    k = 0;
    do
    :: k < KEYS ->
       batch[k].there = open[k].there; batch[k].version = open[k].version;
       open[k].there = 0; open[k].version = 0; k++
    :: else -> break
    od;
    k = 0;
    batch_epoch = durable + 1;
    sealed = 1
}

inline reopen()
{
    if :: swept > 0 && swept < KEYS && has_frozen -> reach(5) :: else fi;
    read_log();
    suspect = 0;
    if
    :: sealed && file.epoch == batch_epoch -> settle()
    :: else -> assert(file.epoch == durable)
    fi
}

inline crash()
{
    if :: generations == 0 && file.front < bound && file.front > 0 -> reach(2)
    :: else fi;
    sealed = 0;
    settle();
    k = 0;
    do
    :: k < KEYS -> open[k].there = 0; open[k].version = 0; resident[k] = 0; latest[k] = file.committed[k]; k++
    :: else -> break
    od;
    close_reader();
    suspect = 0;
    crashes++;
    /* and start */
    indexed = file.end;
    read_log();
    durable = file.epoch
}

inline load(wanted_)
{
    if
    :: !resident[wanted_] ->
       read_indexed(file, (has_frozen -> youngest - 1 : youngest), youngest, wanted_);
       assert(found == latest[wanted_]); /* else this turn overwrites what another one left */
       if :: at == NONE && found != ABSENT -> reach(4) :: else fi;
       if :: indexed > file.end && at != NONE && found != ABSENT -> reach(8) :: else fi;
       resident[wanted_] = 1
    :: else
    fi
}

#define CLEAN(key) (!open[key].there && (!batch[key].there || BUG == 6))

/* A turn of one actor and the version that it leaves. */
inline turn(guard, who, what)
{
    d_step {
        (guard) && writes < WRITES && (!suspect || resident[who]);
        load(who);
        writes++;
        latest[who] = what;
        open[who].there = 1; open[who].version = what
    }
}

inline may_live(which)
{
    if
    :: turn(true, which, writes)
    :: turn(resident[which] && latest[which] != ABSENT, which, ABSENT)
    :: d_step { resident[which] && CLEAN(which) -> resident[which] = 0 }
    fi
}

/* -- another thread's snapshot ----------------------------------------------------------------------- */

inline hold() { first = (has_frozen -> youngest - 1 : youngest); last = youngest }
inline begin()
{
    copy(old, file);
    if :: has_frozen && file.front == bound && READERS > 0 -> reach(6) :: else fi
}
inline close_reader()
{
    reading = NO; first = 0; last = 0;
    old.epoch = 0; old.front = 0; old.end = 0;
    k = 0;
    do
    :: k < KEYS -> old.table[k] = 0; old.committed[k] = 0; k++
    :: else -> break
    od;
    k = 0
}

init
{
end:
    do
    :: may_live(0)
    :: may_live(1)
#if KEYS > 2
    :: may_live(2)
#endif
    :: d_step { !sealed && !suspect && durable == file.epoch && file.epoch < EPOCHS -> seal() }

    /* Whoever commits: a batch, with a share of the sweep or (the disk was full) without; or tidying. */
    :: d_step { phase == IDLE && sealed && !suspect ->
           freeze(); before = indexed; plan(1); if :: BUG != 12 -> append_batch() :: else fi; phase = WRITTEN;
           if :: GOAL == 7 && slice < swept -> has_swept = 1 :: else fi }
    :: d_step { phase == IDLE && sealed && !suspect && errors > 0 ->
           freeze(); before = indexed; plan(0); if :: BUG != 12 -> append_batch() :: else fi; phase = WRITTEN;
           if :: has_swept -> reach(7) :: else fi }
    :: d_step { phase == IDLE && !sealed && !suspect && has_frozen ->
           before = indexed; plan(1); tidying = 1; phase = WRITTEN }
    :: d_step { phase == IDLE && sealed && !suspect && errors < ERRORS && BUG == 8 -> errors++; undo() }
    :: d_step { phase == WRITTEN -> count(); phase = COUNTS }
    :: d_step { phase == WRITTEN && errors < ERRORS -> errors++; undo() }
    :: d_step { phase == WRITTEN && errors < ERRORS -> errors++; suspect = 1; finish() }
    :: d_step { phase == WRITTEN && errors < ERRORS -> errors++; count(); suspect = 1; finish() }
    :: d_step { phase == COUNTS -> after_commit() }
    :: d_step { suspect && reading == NO -> reopen() }

    :: d_step { reading == NO && readers < READERS && !suspect && BUG != 11 && BUG != 14 ->
           begin(); hold(); reading = HELD; readers++ }
    :: d_step { reading == NO && readers < READERS && !suspect && BUG == 14 -> begin(); reading = BEGUN; readers++ }
    :: d_step { reading == BEGUN && BUG == 14 -> hold(); reading = HELD }
    :: d_step { reading == NO && readers < READERS && !suspect && BUG == 11 -> hold(); reading = BEGUN; readers++ }
    :: d_step { reading == BEGUN && BUG == 11 -> begin(); reading = HELD }
    :: d_step { reading == HELD -> check_reader() }
    :: d_step { reading == HELD -> close_reader(); tidy_up() }
    :: d_step { crashes < CRASHES -> crash() }
    od
}
