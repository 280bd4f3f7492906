/* commit.pml - how an epoch becomes durable: two threads, one slot, a disk that may forget.
 *
 * An engine takes INPUTS inputs from a source, counts them in a state and emits one egress record for
 * each.  It runs turns in epoch N+1 while a commit thread makes the sealed epoch N durable.  What the
 * world sees - completions, source positions, egress - leaves through a gate.
 *
 * Modelled
 * - The slot: at most one sealed batch; the engine waits when the open epoch is full and the slot is not
 *   free.  A batch is an increment, so one that is applied twice, or lost, shows in the count.
 * - The file as LMDB writes it: transaction t writes fresh pages over those that only t-3 needed, syncs
 *   them, then writes meta page t & 1, which must name whole pages when it is read.
 * - Page cache and disk, for each meta page.  A kill keeps the cache.  A power cut keeps the disk; a meta
 *   page that was not synced is there or not.  Pages whose sync did not return are torn.
 * - A commit that reports an error: at the sync of its pages (meta page untouched), or at its meta page,
 *   which is then new or old in the cache (LMDB puts the old one back) and new or old on disk.
 * - What follows (reopen, sync, read the epoch), what a start does, and that syncs fail too.
 * - A kill or a power cut between any two steps, also while recovering.
 * - Tidying: the commit thread's own transactions, which move rows (changelog.pml) and leave the epoch as it
 *   is.  One that fails makes the file suspect like any other: nothing is written before it was reopened.
 * - RELAXED=1: the meta page is not synced; the sync of the next commit's pages brings it to the disk.
 *   Completions leave when committed; egress and source positions when synced.
 * - FORGET=1: the kernel drops the dirty mark of a page that it could not write: a later sync succeeds and
 *   does not write it.  Only with REDIRTY=1 does the protocol hold then: a reopen and a start write both meta
 *   pages back as they read them, before that sync.
 *
 * Abstracted: what is in the pages (changelog.pml), messages between actors, readers, back-off, and a commit
 * that fails before its last call (a full map, no memory): it has written nothing that counts and is tried again.
 * The sync that makes a relaxed epoch safe is one step of the engine; in the library the commit thread does it
 * between two transactions, and the engine hears of it later.
 *
 * Bounds: INPUTS, BUDGET (turns an epoch), CRASHES (kills and cuts), ERRORS (failed calls), TIDIES.
 *
 * BUG, each must be refuted; 0 must pass
 *  1 egress leaves when its epoch is sealed
 *  2 positions and completions leave when sealed
 *  3 after an error the batch is written again, without asking which epoch is there
 *  4 no sync between reopening and reading
 *  5 an error means "failed": told so, the senders send again
 *  6 durable N opens the gate for all that is merged
 *  7 no sync at start before the file is believed
 *  8 a seal does not wait for the slot
 *  9 the source position has a transaction of its own
 * 10 the sink keeps no sequence number
 * 11 RELAXED: egress leaves when only committed
 * 12 RELAXED: source positions leave when only committed
 * 13 the next batch may take the slot although the one before met an error
 * 14 TIDIES: after tidying that met an error the next commit goes on as if nothing were wrong
 *
 * GOAL, each must be reached: 1 the end; 2 the end after a kill, a power cut, an error found committed and
 * one found not committed; 3 a power cut while a batch is written and turns of the next epoch have run;
 * 4 the full epoch waits for the slot; 5 RELAXED: a power cut takes back a committed epoch; 6 TIDIES: a batch is
 * submitted to a file that tidying has made suspect, and goes in. */
#ifndef BUG
#define BUG 0
#endif
#ifndef GOAL
#define GOAL 0
#endif
#ifndef RELAXED
#define RELAXED 0
#endif
#ifndef FORGET
#define FORGET 0
#endif
#ifndef REDIRTY
#define REDIRTY 0
#endif
#ifndef INPUTS
#define INPUTS 4
#endif
#ifndef BUDGET
#define BUDGET 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef ERRORS
#define ERRORS 2
#endif

#ifndef TIDIES
#define TIDIES 0
#endif

#define TORN 255
#define reach(goal) assert(GOAL != goal)

/* -- the file --------------------------------------------------------------------------------------- */

/* What one transaction left: its number (or TORN), the epoch, and what that epoch says. */
typedef image {
    byte tx;
    byte epoch;
    byte position; /* of the source */
    byte count;    /* the state; also the number of egress records written */
    byte taken;    /* egress acknowledged */
};
image pages[3]; /* transaction t: pages[t % 3] */
byte cache[2];  /* the transaction that the meta page names, as a read sees it */
byte disk[2];   /* the same, as a power cut leaves it */
bit forgot[2];  /* FORGET: cache differs from disk, and no sync will write it */

#define NEWEST(meta) (meta[0] > meta[1] -> meta[0] : meta[1])
#define SEEN pages[NEWEST(cache) % 3]

/* Reading through meta pages must lead to whole pages. */
#define WHOLE assert(SEEN.tx == NEWEST(cache))

inline write_meta_cache(number)
{
    cache[(number) & 1] = number;
    forgot[(number) & 1] = 0
}

inline sync_metas()
{
    if :: !forgot[0] -> disk[0] = cache[0] :: else fi;
    if :: !forgot[1] -> disk[1] = cache[1] :: else fi
}

/* REDIRTY: both meta pages are written back as they were read, so that the sync must write them. */
inline dirty_metas()
{
    if :: REDIRTY -> forgot[0] = 0; forgot[1] = 0 :: else fi
}

/* A sync that failed: anything may have been written; with FORGET the rest may never be. */
inline sync_fails()
{
    errors++;
    if :: !forgot[0] -> disk[0] = cache[0] :: skip fi;
    if :: !forgot[1] -> disk[1] = cache[1] :: skip fi;
    if :: FORGET && cache[0] != disk[0] -> forgot[0] = 1 :: skip fi;
    if :: FORGET && cache[1] != disk[1] -> forgot[1] = 1 :: skip fi
}

/* -- memory, gone with the process ------------------------------------------------------------------ */

mtype = { FREE, SUBMITTED, COMMITTED, FAILED };
mtype slot = FREE;
byte batch_epoch, batch_turns, batch_position, batch_taken; /* immutable while the slot is not FREE */
byte position, count, turns; /* merged: all turns so far; turns: those of the open epoch */
byte epoch;                  /* newest settled */
byte ok_position, ok_count;  /* settled */
byte safe_position, safe_count; /* and synced; the same but with RELAXED */
byte sent;                   /* egress handed to the sink */
bit suspect = 0;             /* tidying has failed: nothing is written before a reopen */
bit busy = 0;                /* tidying is under way */
bit opened = 0;              /* the commit thread may use the file */

/* -- the world, which forgets nothing --------------------------------------------------------------- */

byte told;   /* inputs whose completion was seen */
byte passed; /* the position that the source may forget up to */
byte sink;   /* the newest egress sequence that the sink has */

byte crashes = 0, errors = 0, tidies = 0;
bit engine_down = 0, committer_down = 0, done = 0;
bit cut = 0;                 /* the last crash was a power cut */
byte witness = 0;            /* for GOAL 2: 1 kill, 2 cut, 4 found committed, 8 found not committed */

inline saw(what) { if :: GOAL == 2 -> witness = witness | what :: else fi }

/* -- the commit thread ------------------------------------------------------------------------------ */

inline report(what)
{
    if :: busy -> busy = 0; suspect = (what == FAILED && BUG != 14) :: else -> slot = what fi;
    tx = 0;
    goto end_idle
}

proctype committer()
{
    byte tx;
end_idle:
    {
        if
        :: d_step {
               slot == SUBMITTED && !suspect && !committer_down ->
               tx = NEWEST(cache) + 1;
               WHOLE;
               if :: BUG != 3 && BUG != 8 && BUG != 13 -> assert(SEEN.epoch + 1 == batch_epoch) :: else fi
           }
        :: atomic { slot == SUBMITTED && suspect && !committer_down -> slot = FAILED; goto end_idle }
#if TIDIES > 0
        :: d_step { /* only what is safe is tidied: else the sync comes first */
               (slot == FREE || slot == COMMITTED && !RELAXED) && safe_count == ok_count && tidies < TIDIES &&
               opened && !suspect && !committer_down ->
               tidies++; busy = 1;
               tx = NEWEST(cache) + 1;
               WHOLE
           }
#endif
        fi;
        d_step { pages[tx % 3].tx = TORN; pages[tx % 3].epoch = 0; pages[tx % 3].position = 0;
            pages[tx % 3].count = 0; pages[tx % 3].taken = 0 }
        /* The pages, and all that was not synced before. */
        if
        :: d_step {
               pages[tx % 3].tx = tx;
               if
               :: busy ->
                  pages[tx % 3].epoch = pages[(tx + 2) % 3].epoch;
                  pages[tx % 3].position = pages[(tx + 2) % 3].position;
                  pages[tx % 3].count = pages[(tx + 2) % 3].count;
                  pages[tx % 3].taken = pages[(tx + 2) % 3].taken
               :: else ->
                  pages[tx % 3].epoch = batch_epoch;
                  pages[tx % 3].position = (BUG == 9 -> pages[(tx + 2) % 3].position : batch_position);
                  pages[tx % 3].count = pages[(tx + 2) % 3].count + batch_turns;
                  pages[tx % 3].taken = batch_taken
               fi;
               sync_metas()
           }
        :: atomic { errors < ERRORS -> sync_fails(); report(FAILED) }
        fi;
        if
        :: d_step { write_meta_cache(tx); if :: !RELAXED -> disk[tx & 1] = tx :: else fi }
        :: atomic {
               errors < ERRORS -> errors++;
               write_meta_cache(tx);
               if :: disk[tx & 1] = tx :: skip fi;
               if
               :: cache[tx & 1] = tx - 2 /* put back, unsynced */
               :: FORGET && disk[tx & 1] != tx -> forgot[tx & 1] = 1
               :: skip
               fi;
               report(FAILED)
           }
        fi;
#if BUG == 9
        pages[tx % 3].position = batch_position;
#endif
        report(COMMITTED)
    } unless { atomic { committer_down -> committer_down = 0; tx = 0; goto end_idle } }
}

/* -- the engine ------------------------------------------------------------------------------------- */

/* Epoch `epoch` is what the file holds and the disk has. */
inline trust_file()
{
    ok_position = SEEN.position; ok_count = SEEN.count;
    safe_position = ok_position; safe_count = ok_count
}

inline settle()
{
    if
    :: RELAXED && BUG != 11 -> safe_count = ok_count /* this commit's sync made the one before safe */
    :: else -> safe_count = ok_count + batch_turns
    fi;
    if
    :: RELAXED && BUG != 12 -> safe_position = ok_position
    :: else -> safe_position = batch_position
    fi;
    ok_position = batch_position; ok_count = ok_count + batch_turns;
    if :: BUG == 6 -> safe_position = position; ok_position = position; safe_count = count :: else fi;
    epoch = batch_epoch;
    slot = FREE;
    batch_epoch = 0; batch_turns = 0; batch_position = 0; batch_taken = 0
}

inline seal()
{
    batch_epoch = (slot == FREE || BUG == 8 -> epoch : batch_epoch) + 1;
    batch_turns = turns; batch_position = position; batch_taken = sent;
    turns = 0;
    slot = SUBMITTED
}

/* Handed over once for good: the sink tells a repeated record by its sequence, the source by position. */
inline deliver()
{
    assert(sent <= sink); /* no gap */
    sent++;
    if
    :: BUG == 10 -> sink++
    :: BUG != 10 && sent > sink -> sink = sent
    :: else
    fi
}

#define GATE_COUNT (BUG == 1 -> count - turns : safe_count)
#define GATE_POSITION (BUG == 2 && slot != FREE -> batch_position : safe_position)
#define GATE_TOLD (BUG == 2 && slot != FREE -> batch_position : ok_position)

proctype engine()
{
start:
    {
        /* Open: nothing is believed before a sync. */
        !committer_down;
        if
        :: BUG == 7
        :: BUG != 7 -> d_step { dirty_metas(); sync_metas() }
        :: atomic { BUG != 7 && errors < ERRORS -> dirty_metas(); sync_fails(); goto start }
        fi;
        d_step {
            WHOLE;
            epoch = SEEN.epoch; position = SEEN.position; count = SEEN.count; sent = SEEN.taken;
            turns = 0;
            trust_file();
            assert(position == count);    /* exactly once */
            assert(passed <= position);   /* the source forgot nothing that we do not have */
            assert(sink <= count);        /* no record left whose epoch is gone */
            assert(BUG == 10 || sent <= sink);
            if
            :: RELAXED && cut && told > position -> told = position; reach(5)
            :: else -> assert(told <= position)
            fi;
            cut = 0;
            if :: TIDIES > 0 -> opened = 1 :: else fi
        }
work:
        do
        :: d_step { position < INPUTS && turns < BUDGET -> position++; count++; turns++ }
        :: d_step { turns > 0 && slot == FREE -> seal() }
        :: d_step { BUG == 8 && turns > 0 && slot == SUBMITTED -> seal() }
        :: d_step { BUG == 13 && turns > 0 && slot == FAILED -> seal() }
        :: d_step { slot == COMMITTED -> settle() }
        :: slot == FAILED || slot == FREE && suspect -> break
        :: d_step { told < GATE_TOLD -> told = GATE_TOLD }
        :: d_step { passed < GATE_POSITION -> passed = GATE_POSITION }
        :: d_step { sent < GATE_COUNT -> deliver() }
        :: atomic { RELAXED && slot == FREE && !busy && !suspect && (safe_count < ok_count || safe_position < ok_position) ->
               if
               :: sync_metas(); safe_position = ok_position; safe_count = ok_count
               :: errors < ERRORS -> sync_fails(); break
               fi }
        :: atomic { GOAL == 4 && turns == BUDGET && slot == SUBMITTED -> reach(4) }
        :: atomic { position == INPUTS && turns == 0 && slot == FREE && !busy && !suspect && safe_count == ok_count &&
               sent == ok_count && passed == position && told == position -> tidies = TIDIES; goto finish }
        od;

        /* Indeterminate: nothing of memory's view of the file counts.  Close and open. */
reopen:
#if BUG == 3
        slot = SUBMITTED;
        goto work;
#endif
        if
        :: BUG == 4
        :: BUG != 4 -> d_step { dirty_metas(); sync_metas() }
        :: atomic { BUG != 4 && errors < ERRORS -> dirty_metas(); sync_fails(); goto reopen }
        fi;
        atomic {
            WHOLE;
            if
            :: slot == FREE -> assert(SEEN.epoch == epoch); trust_file()
            :: BUG == 5 && slot != FREE ->
               /* The turns are undone, their senders send again what they heard to have failed. */
               position = ok_position; count = SEEN.count; epoch = SEEN.epoch; turns = 0; slot = FREE
            :: BUG != 5 && slot != FREE && SEEN.epoch == batch_epoch -> saw(4); settle(); trust_file()
            :: BUG != 5 && slot != FREE && SEEN.epoch + 1 == batch_epoch -> saw(8); trust_file(); slot = SUBMITTED;
               if :: suspect -> reach(6) :: else fi
            :: else -> assert(false) /* stop for good: must not happen */
            fi;
            suspect = 0;
            goto work
        }
finish:
        atomic {
            done = 1;
            assert(SEEN.count == INPUTS && SEEN.position == INPUTS);
            assert(pages[NEWEST(disk) % 3].count == INPUTS);
            assert(sink == INPUTS && passed == INPUTS && told == INPUTS);
            reach(1);
            if :: witness == 15 -> reach(2) :: else fi
        }
    } unless { atomic { engine_down -> engine_down = 0; goto start } }
}

/* -- kills and power cuts --------------------------------------------------------------------------- */

inline forget_memory()
{
    slot = FREE;
    batch_epoch = 0; batch_turns = 0; batch_position = 0; batch_taken = 0;
    position = 0; count = 0; turns = 0; epoch = 0; sent = 0;
    ok_position = 0; ok_count = 0; safe_position = 0; safe_count = 0;
    suspect = 0; busy = 0; opened = 0;
    crashes++;
    engine_down = 1; committer_down = 1
}

proctype fate()
{
end_fate:
    do
    :: atomic { crashes < CRASHES && !done && !engine_down && !committer_down ->
           if
           :: true -> saw(1)
           :: true ->
              if :: GOAL == 3 && slot == SUBMITTED && turns > 0 && SEEN.epoch + 1 == batch_epoch &&
                    (pages[0].tx == TORN || pages[1].tx == TORN || pages[2].tx == TORN) && epoch > 0 ->
                    reach(3)
              :: else fi;
              saw(2);
              cut = 1;
              if :: cache[0] != disk[0] && !forgot[0] -> disk[0] = cache[0] :: skip fi;
              if :: cache[1] != disk[1] && !forgot[1] -> disk[1] = cache[1] :: skip fi;
              cache[0] = disk[0]; cache[1] = disk[1];
              forgot[0] = 0; forgot[1] = 0
           fi;
           forget_memory() }
    :: done -> break
    od
}

init
{
    atomic {
        pages[1].tx = 1; pages[2].tx = TORN; cache[1] = 1; disk[1] = 1;
        run engine(); run committer(); run fate()
    }
}
