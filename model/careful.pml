/* careful.pml - the turn that kills the process: whom a page of memory may accuse, and whom it may not.
 *
 * Modelled
 * - N messages; one kills whoever runs its turn.  Those that are not durable come again after a
 *   crash, in any order, so a number that was lost is given to whichever comes then.
 * - Turns in order of numbers, epochs that are committed at any time, and kills from outside
 *   between any two steps, within turns too.
 * - lib/run/careful.h: the page with the number of the turn under way, the suspect and how often
 *   it died; what an opening makes of it; careful, a message runs when its row is durable.
 *
 * Abstracted: careful lasts as long as the process; who sends (the outside or a turn) makes no
 * difference but the order; a power cut, which may leave an older page.
 *
 * Checked: nobody is set aside but after MAX deaths in a row, each in its own turn; the deadly
 * message itself dies at most MAX + 1 times, once more for each kill from outside between turns,
 * and MAX times for one within another's turn, since it does not die in a row then; in the end all
 * others are handled, and it is dead.
 *
 * BUG, each must be refuted; 0 must pass
 *  1 careful does not wait for the row
 *  2 a death of a message that has no row counts
 *  3 the page says "in a turn" when the turn is over
 *  4 a death counts for the suspect, whoever died
 *  5 the page forgets the suspect before the dead letter is durable
 *  6 nobody is careful after a death
 *
 * GOAL, each must be reached: 1 the end; 2 a message dies without a row; 3 it dies under two
 * numbers; 4 the dead letter is lost with the process. */
#ifndef BUG
#define BUG 0
#endif
#ifndef GOAL
#define GOAL 0
#endif
#define N 3
#ifndef MAX
#define MAX 2
#endif
#ifndef KILLS
#define KILLS 2
#endif

#define reach(goal) assert(GOAL != goal)
#define DEADLY 2

#define AWAY 0 /* to be sent, again perhaps */
#define WAITS 1
#define DONE 2
#define DEAD 3

/* As of the open and of the durable epoch. */
byte state[N + 1], state_durable[N + 1];
byte number[N + 1], number_durable[N + 1];
byte next = 1, next_durable = 1;

/* The page. */
byte page_turn, page_suspect, page_crashes;

bit careful;
byte kills, kills_within, deaths, row[N + 1]; /* row: its deaths in a row */
byte died_as; /* the number of its first death */
bit letter_lost;
byte m, head;

/* The first of the queue; 0: it is empty. */
inline find_head()
{
    head = 0;
    m = 1;
    do
    :: m <= N ->
        if
        :: state[m] == WAITS && (head == 0 || number[m] < number[head]) -> head = m
        :: else
        fi;
        m++
    :: else -> break
    od
}

inline commit()
{
    m = 1;
    do
    :: m <= N ->
        state_durable[m] = state[m];
        number_durable[m] = number[m];
        m++
    :: else -> break
    od;
    next_durable = next
}

inline forget()
{
    page_suspect = 0;
    page_crashes = 0
}

/* What an opening finds. */
inline open_again()
{
    m = 1;
    do
    :: m <= N ->
        if
        :: state[m] == DEAD && state_durable[m] != DEAD -> letter_lost = 1; reach(4)
        :: else
        fi;
        state[m] = state_durable[m];
        number[m] = number_durable[m];
        m++
    :: else -> break
    od;
    next = next_durable;
    careful = (page_turn != 0 || page_crashes >= MAX) && BUG != 6;
    if
    :: page_suspect >= next_durable -> forget()
    :: else
    fi;
    if
    :: page_turn == 0
    :: page_turn != 0 && page_turn >= next_durable && BUG != 2 -> forget()
    :: page_turn != 0 && (page_turn < next_durable || BUG == 2) ->
        if
        :: page_suspect == page_turn || (BUG == 4 && page_suspect != 0) -> page_crashes++
        :: else -> page_suspect = page_turn; page_crashes = 1
        fi
    fi;
    page_turn = 0
}

/* The turn of `head` is the process's last. */
inline die()
{
    m = 1;
    do
    :: m <= N ->
        if
        :: m != head -> row[m] = 0
        :: else -> row[m]++
        fi;
        m++
    :: else -> break
    od;
    if
    :: number[head] >= next_durable -> reach(2)
    :: else
    fi;
    if
    :: head == DEADLY && died_as != 0 && died_as != number[head] -> reach(3)
    :: head == DEADLY -> died_as = number[head]
    :: else
    fi
}

inline come(which)
{
    state[which] = WAITS;
    number[which] = next;
    next++;
    find_head()
}

inline end_if_done()
{
    m = 1;
    do
    :: m <= N && (state_durable[m] == DONE || state_durable[m] == DEAD) -> m++
    :: else -> break
    od;
    if
    :: m > N ->
        reach(1);
        assert(state_durable[DEADLY] == DEAD);
        goto end
    :: else
    fi
}

active proctype process()
{
    do
    /* One more comes in, whichever. */
    :: atomic { state[1] == AWAY -> come(1) }
    :: atomic { state[2] == AWAY -> come(2) }
    :: atomic { state[N] == AWAY -> come(N) }

    /* An epoch becomes durable. */
    :: atomic { commit(); end_if_done() }

    /* The head's turn, or its end as a dead letter. */
    :: atomic { head != 0 && (!careful || BUG == 1 || number[head] < next_durable) ->
        if
        :: careful && number[head] == page_suspect && page_crashes >= MAX ->
            assert(row[head] >= MAX);
            state[head] = DEAD;
            if
            :: BUG == 5 -> forget()
            :: else
            fi
        :: else ->
            page_turn = number[head];
            if
            :: head == DEADLY ->
                deaths++;
                assert(deaths <= MAX + 1 + (kills - kills_within) + MAX * kills_within);
                die();
                open_again()
            :: head != DEADLY && kills < KILLS -> /* killed within it */
                kills++;
                kills_within++;
                die();
                open_again()
            :: head != DEADLY ->
                state[head] = DONE;
                if
                :: BUG != 3 -> page_turn = 0
                :: else
                fi
            fi
        fi;
        find_head() }

    /* The letter is on disk. */
    :: atomic { page_suspect != 0 && page_crashes >= MAX && BUG != 5 ->
        m = 1;
        do
        :: m <= N && !(state_durable[m] == DEAD && number_durable[m] == page_suspect) -> m++
        :: else -> break
        od;
        if
        :: m <= N -> forget()
        :: else
        fi }

    /* Killed between two turns. */
    :: atomic { kills < KILLS -> kills++; open_again(); find_head() }
    od;
end:
    skip
}
