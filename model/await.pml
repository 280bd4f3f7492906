/* await.pml - one actor that awaits operations, through pauses, answers that die, and crashes.
 *
 * Modelled
 * - N messages and answers, numbered as they come into the run queue; each is met at its head.  A message that is
 *   handled may start an operation and await it: then the actor is held, and the message stands behind the answer.
 * - The answer passes that hold.  While the actor is paused too it waits apart, before all others.
 * - The hold ends when the answer's turn is kept, or it is dead: then what stood behind is a message again, in its
 *   place among those that wait, and dead for good when that happens twice.
 * - A commit makes all of it durable at once; a crash goes back to that.  What waits is then read again in the order
 *   of its numbers, and an operation that was under way is answered all the same.
 *
 * Abstracted: parking and epochs under way (holds.pml), more than one operation, what answers take.
 *
 * Checked: no message is handled while the actor awaits, no answer but while it does; messages are handled in order,
 * each once, or again when what it stood behind is dead; and whoever waits can go on.
 *
 * BUG, each must be refuted; 0 must pass
 *  1 that the actor awaits is not durable
 *  2 the answer does not pass the hold
 *  3 the answer waits among the others while the actor is paused
 *  4 the hold ends when the answer is given, not when it is handled
 *  5 a dead answer leaves the hold
 *  6 what stood behind a dead answer goes to the end
 *  7 what stood behind is used up before the answer is handled
 *
 * GOAL, each must be reached: 1 the end; 2 the end after a crash while the answer waited for a pause to end;
 * 3 a message that stood behind is handled again after a crash. */
#ifndef BUG
#define BUG 0
#endif
#ifndef GOAL
#define GOAL 0
#endif
#ifndef N
#define N 5
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef PAUSES
#define PAUSES 1
#endif
#ifndef AWAITS
#define AWAITS 2
#endif

#define reach(goal) assert(GOAL != goal)

#define NONE 0
#define WAITS 1
#define STANDS 2 /* behind an answer */
#define OVER 3

/* As of memory, and as of the disk. */
byte state[N + 1], state_d[N + 1];
bit is_answer[N + 1], is_answer_d[N + 1];
bit again[N + 1], again_d[N + 1]; /* it stood behind a dead answer once */
byte given, given_d;
bit under_way, under_way_d, held, held_d, paused, paused_d;
byte stands, stands_d;

/* Memory alone: what waits. */
byte queue[N + 1], queued, waiting[N + 1], waits, apart; /* an answer that waits for a pause to end */

bit dirty; /* memory is ahead of the disk */
byte crashes, pauses, awaits;
bit crashed_apart, ran_again;
byte i, j, m;

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

/* In its place among those that wait. */
inline put_back(what)
{
    i = waits;
    do
    :: i > 0 && waiting[i - 1] > what && BUG != 6 -> waiting[i] = waiting[i - 1]; i--
    :: else -> break
    od;
    waiting[i] = what;
    waits++
}

inline end_await(is_dead)
{
    assert(stands && state[stands] == STANDS);
    if
    :: is_dead && BUG == 5 -> skip
    :: else -> held = 0
    fi;
    if
    :: stands && is_dead && !again[stands] ->
        again[stands] = 1;
        state[stands] = WAITS;
        put_back(stands)
    :: stands && (!is_dead || again[stands]) -> state[stands] = OVER
    :: else
    fi;
    stands = 0
}

inline handle_answer(is_dead)
{
    assert(held && !paused);
    state[m] = OVER;
    end_await(is_dead)
}

inline handle_message(does_await)
{
    assert(!held && !paused);
    j = 1;
    do
    :: j < m -> assert(is_answer[j] || state[j] == OVER); j++ /* in order */
    :: else -> break
    od;
    j = 0;
    if :: again[m] && crashes -> ran_again = 1 :: else fi;
    if
    :: does_await ->
        awaits++;
        under_way = 1;
        held = 1;
        if
        :: BUG == 7 -> state[m] = OVER
        :: else -> state[m] = STANDS; stands = m
        fi
    :: else -> state[m] = OVER
    fi
}

#define PASSES (is_answer[m] && held && BUG != 2)

inline meet(choice)
{
    pop_head();
    if
    :: PASSES && paused && BUG != 3 -> apart = m
    :: PASSES && !paused -> handle_answer(choice)
    :: else ->
        if
        :: held || paused || waits -> waiting[waits] = m; waits++
        :: else ->
            if
            :: is_answer[m] -> handle_answer(choice)
            :: else -> handle_message(choice && awaits < AWAITS && given < N)
            fi
        fi
    fi
}

inline let_go()
{
    do
    :: waits > 0 -> waits--; m = waiting[waits]; waiting[waits] = 0; push_front(m)
    :: else -> break
    od
}

inline answer()
{
    under_way = 0;
    given++;
    is_answer[given] = 1;
    state[given] = WAITS;
    queue[queued] = given;
    queued++;
    if :: BUG == 4 -> held = 0 :: else fi
}

inline commit()
{
    m = 1;
    do
    :: m <= N ->
        state_d[m] = state[m];
        is_answer_d[m] = is_answer[m];
        again_d[m] = again[m];
        m++
    :: else -> break
    od;
    given_d = given;
    under_way_d = under_way;
    held_d = held && BUG != 1;
    paused_d = paused;
    stands_d = stands;
    dirty = 0
}

inline crash()
{
    dirty = 0;
    if :: apart -> crashed_apart = 1 :: else fi;
    queued = 0; waits = 0; apart = 0;
    m = 1;
    do
    :: m <= N ->
        state[m] = state_d[m];
        is_answer[m] = is_answer_d[m];
        again[m] = again_d[m];
        queue[m - 1] = 0;
        waiting[m - 1] = 0;
        m++
    :: else -> break
    od;
    m = 1;
    do
    :: m <= N ->
        if :: state[m] == WAITS -> queue[queued] = m; queued++ :: else fi;
        m++
    :: else -> break
    od;
    given = given_d;
    under_way = under_way_d;
    held = held_d;
    paused = paused_d;
    stands = stands_d;
    crashes++
}

#define ROOM (given + under_way < N)

init
{
    do
    :: d_step { ROOM -> dirty = 1; given++; state[given] = WAITS; queue[queued] = given; queued++; m = 0 }
    :: d_step { queued > 0 -> dirty = 1; meet(0); m = 0; i = 0 }
    :: d_step { queued > 0 -> dirty = 1; meet(1); m = 0; i = 0 }
    :: d_step { under_way -> dirty = 1; answer() }
    :: d_step { !held && !paused && waits > 0 -> let_go(); m = 0; i = 0 }
    :: d_step { apart && !paused -> m = apart; apart = 0; push_front(m); m = 0; i = 0 }
    :: d_step { !paused && pauses < PAUSES -> dirty = 1; paused = 1; pauses++ }
    :: d_step { paused -> dirty = 1; paused = 0 }
    :: d_step { dirty -> commit(); m = 0 }
    :: d_step { crashes < CRASHES -> crash(); m = 0 }
    :: given == N && queued == 0 && waits == 0 && !apart && !under_way && !paused && !held -> break
    :: timeout -> assert(false) /* somebody waits for ever */
    od;
    m = 1;
    do
    :: m <= N -> assert(state[m] == OVER); m++
    :: else -> break
    od;
    if :: GOAL == 2 && crashed_apart -> reach(2) :: else fi;
    if :: GOAL == 3 && ran_again -> reach(3) :: else fi;
    reach(1)
}
