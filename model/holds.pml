/* holds.pml - messages of one actor, in memory and parked, through pauses and crashes.
 *
 * Modelled
 * - N messages to one actor, in order; each is met at the head of the run queue, and goes behind
 *   the hold while the actor is paused: in memory, or to table parked, since what others have
 *   waiting leaves no room.
 * - What the hold lets go goes in front of the queue: what is in memory whole, then slices of
 *   parked rows.
 * - Epochs: what a table holds as of the open one, of the sealed one, and of the durable one,
 *   which is all that a read sees.  A seal gives every message a row.  A crash between any two
 *   steps leaves the durable one.
 * - lib/actor/mailbox.h, "nothing parked overtakes": `passed`, what of it is durable, and what
 *   was parked although it had passed (settles).
 *
 * Abstracted: other actors (of them only `passed` could be seen), back-off (a pause that ends by
 * itself), holds of types, the backlog (the queue is read whole at a start), and what is in a
 * message.
 *
 * Checked: messages are handled in order, each once (again only if a crash took its handling
 * back), none while the actor is paused, and none is left in the end: whoever waits can go on.
 *
 * BUG, each must be refuted; 0 must pass
 *  1 a parked row comes back before the queue has passed it
 *  2 a parked row comes back though what was parked with it is not durable
 *  3 a message is handled although an older one is parked
 *  4 what was parked on its way from the hold is not waited for
 *  5 a slice comes back before the one before it is through
 *  6 an empty queue has not passed what was parked by an earlier run
 *
 * GOAL, each must be reached: 1 the end; 2 the end after a crash that found parked rows and older
 * ones in table mailbox; 3 a message that was let go is parked again. */
#ifndef BUG
#define BUG 0
#endif
#ifndef GOAL
#define GOAL 0
#endif
#ifndef N
#define N 4
#endif
#ifndef SLICE
#define SLICE 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef PAUSES
#define PAUSES 2
#endif

#define reach(goal) assert(GOAL != goal)

#define NONE 0 /* no row yet, or none any more */
#define BOX 1
#define PARKED 2

/* As of the open, the sealed and the durable epoch. */
byte row[N + 1], row_sealed[N + 1], row_durable[N + 1];
byte handled, handled_sealed, handled_durable;
byte given, given_sealed, given_durable;
bit paused, paused_sealed, paused_durable;
bit is_sealed;

/* Memory. */
byte queue[N + 1], queued; /* queue[0] is the head */
byte waiting[N + 1], waits;
bit let_go[N + 1]; /* in the queue, and the hold has more */
byte out;
byte first, last; /* parked, on disk only; last 0: none */
byte passed, passed_sealed, passed_durable;
bit parked_open, parked_sealed;  /* something was parked in that epoch, */
bit settle_open, settle_sealed;  /* something that had passed before */

byte crashes, pauses;
bit found_both, parked_again;
byte i, m, count;

#define PENDING (parked_open || parked_sealed)
#define IS_PAST (last != 0 && m >= first && BUG != 3)
#define STOPS (paused || waits || IS_PAST)

inline pop_head()
{
    m = queue[0];
    i = 0;
    do
    :: i + 1 < queued -> queue[i] = queue[i + 1]; i++
    :: else -> break
    od;
    queued--;
    queue[queued] = 0
}

/* The head leaves the queue. */
inline leave()
{
    pop_head();
    if :: m > passed -> passed = m :: else fi;
    if :: let_go[m] -> let_go[m] = 0; out-- :: else fi
}

inline push_front(what)
{
    i = queued;
    do
    :: i > 0 -> queue[i] = queue[i - 1]; i--
    :: else -> break
    od;
    queue[0] = what;
    queued++
}

inline park()
{
    if :: let_go[m] -> parked_again = 1 :: else fi;
    if :: m <= passed && BUG != 4 ->
            if :: row[m] != PARKED -> settle_open = 1
               :: else ->
                    settle_open = settle_open || parked_open;
                    settle_sealed = settle_sealed || parked_sealed
            fi
       :: else
    fi;
    if :: row[m] != PARKED -> parked_open = 1 :: else fi;
    row[m] = PARKED;
    if :: last == 0 -> first = m; last = m :: else fi;
    if :: m < first -> first = m :: else fi;
    if :: m > last -> last = m :: else fi;
    leave()
}

/* `crowded`: others have all the memory there is for what waits behind holds. */
inline meet(crowded)
{
    m = queue[0];
    if
    :: STOPS ->
        if
        :: IS_PAST || crowded -> park()
        :: else ->
            if :: row[m] == NONE -> row[m] = BOX :: else fi;
            leave();
            waiting[waits] = m;
            waits++
        fi
    :: else ->
        assert(!paused && m == handled + 1);
        handled = m;
        row[m] = NONE;
        leave()
    fi
}

/* What waits in memory, newest first, so that the oldest is in front in the end. */
inline let_go_waiting()
{
    do
    :: waits > 0 ->
        waits--;
        m = waiting[waits];
        waiting[waits] = 0;
        push_front(m);
        if :: last != 0 -> let_go[m] = 1; out++ :: else fi
    :: else -> break
    od
}

#define LIMIT (BUG == 1 -> given_durable : ((PENDING && BUG != 2) -> passed_durable : passed))
#define MAY_READ \
    (last != 0 && (out == 0 || BUG == 5) && !settle_open && !settle_sealed && first <= LIMIT)

/* A slice: the oldest rows up to the limit, put in front newest first. */
inline read_slice()
{
    byte to;
    count = 0;
    to = first;
    do
    :: to <= last && to <= LIMIT && count < SLICE ->
        if :: row_durable[to] == PARKED -> count++ :: else fi;
        to++
    :: else -> break
    od;
    m = to;
    do
    :: m > first ->
        m--;
        if
        :: row_durable[m] == PARKED -> push_front(m); let_go[m] = 1; out++
        :: else -> assert(row[m] != PARKED) /* it would be passed over */
        fi
    :: else -> break
    od;
    first = to;
    if :: first > last -> first = 0; last = 0 :: else fi;
    to = 0
}

inline seal()
{
    m = 1;
    do
    :: m <= N ->
        if :: m <= given && m > handled && row[m] == NONE -> row[m] = BOX :: else fi;
        row_sealed[m] = row[m];
        m++
    :: else -> break
    od;
    handled_sealed = handled;
    given_sealed = given;
    paused_sealed = paused;
    passed_sealed = passed;
    parked_sealed = parked_open;
    settle_sealed = settle_sealed || settle_open;
    parked_open = 0;
    settle_open = 0;
    is_sealed = 1
}

inline settle()
{
    m = 1;
    do
    :: m <= N -> row_durable[m] = row_sealed[m]; m++
    :: else -> break
    od;
    handled_durable = handled_sealed;
    given_durable = given_sealed;
    paused_durable = paused_sealed;
    passed_durable = passed_sealed;
    parked_sealed = 0;
    settle_sealed = 0;
    is_sealed = 0
}

inline crash()
{
    queued = 0; waits = 0; out = 0; first = 0; last = 0;
    passed = 0; passed_sealed = 0; passed_durable = 0;
    parked_open = 0; parked_sealed = 0; settle_open = 0; settle_sealed = 0; is_sealed = 0;
    m = 1;
    do
    :: m <= N ->
        row[m] = row_durable[m];
        row_sealed[m] = 0;
        queue[m - 1] = 0;
        waiting[m - 1] = 0;
        let_go[m] = 0;
        m++
    :: else -> break
    od;
    m = 1;
    do
    :: m <= N ->
        if
        :: row[m] == BOX ->
            queue[queued] = m;
            queued++;
            if :: last == 0 -> skip :: else -> found_both = 1 fi
        :: row[m] == PARKED ->
            if :: last == 0 -> first = m :: else fi;
            last = given_durable;
            if :: queued -> found_both = 1 :: else fi
        :: else
        fi;
        m++
    :: else -> break
    od;
    handled = handled_durable; handled_sealed = 0;
    given = given_durable; given_sealed = 0;
    paused = paused_durable; paused_sealed = 0;
    crashes++
}

init
{
    do
    :: d_step { given < N -> given++; queue[queued] = given; queued++; m = 0; i = 0 }
    :: d_step { queued > 0 -> meet(0); m = 0; i = 0 }
    :: d_step { queued > 0 -> meet(1); m = 0; i = 0 }
    :: d_step { queued == 0 && passed < given && BUG != 6 -> passed = given }
    :: d_step { !paused && waits > 0 -> let_go_waiting(); m = 0; i = 0 }
    :: d_step { !paused && waits == 0 && MAY_READ -> read_slice(); m = 0; i = 0; count = 0 }
    :: d_step { !paused && pauses < PAUSES -> paused = 1; pauses++ }
    :: d_step { paused -> paused = 0 }
    :: d_step { !is_sealed && (PENDING || settle_open || handled != handled_durable ||
                given != given_durable || paused != paused_durable) -> seal(); m = 0 }
    :: d_step { is_sealed -> settle(); m = 0 }
    :: d_step { crashes < CRASHES -> crash(); m = 0 }
    :: handled == N && handled_durable == N -> break
    :: timeout -> assert(false) /* somebody waits for ever */
    od;
    assert(queued == 0 && waits == 0 && last == 0);
    if :: GOAL == 2 && found_both -> reach(2) :: else fi;
    if :: GOAL == 3 && parked_again -> reach(3) :: else fi;
    reach(1)
}
