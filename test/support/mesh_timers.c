/* mesh_timers.c - timers and delayed sends, from turns and from outside; some are cancelled or
 * replaced in time.
 *
 *   G10  what is set comes once, not early, from a turn that was kept; what was cancelled or
 *   replaced never does
 *
 * A number is either sent later from outside, or sent, and its turn does what the number says: it
 * sets a timer, or sends later, soon; or in an hour, and then the next turn of that actor cancels
 * it.  So nothing is due for long, and at rest each number has come exactly as often as its turn
 * says.  A turn that fails has set nothing. */
#include <string.h>

#include "support/mesh_part.h"

static const char TIMED[] = "mesh/timed";

enum { SOON_MS = 20 };

struct timed {
    uint32_t last;
    unsigned char seen[MESH_NUMBERS / 8 + 1];   /* its own numbers, */
    unsigned char ticked[MESH_NUMBERS / 8 + 1]; /* its timers of these, */
    unsigned char late[MESH_NUMBERS / 8 + 1];   /* what was sent later from outside, */
    unsigned char told[MESH_NUMBERS / 8 + 1];   /* and by the actor before it */
};

enum fate { NOTHING, TIMER, FAR_TIMER, SOONER_TIMER, TELL, PLAIN_TELL, FAR_TELL, FATES };

static enum fate fate(uint32_t actor, uint32_t number)
{
    return (enum fate)(mix64(((uint64_t)actor << 32 | number) * 5 + 11) % FATES);
}

static int is_late(uint32_t actor, uint32_t number)
{
    return mix64(((uint64_t)actor << 32 | number) * 5 + 12) % 3 == 0;
}

static sf_address timed(uint32_t number)
{
    static const char ids[MESH_TIMED] = "klmnopqr";
    return (sf_address){.type = TIMED, .id = {&ids[number], 1}};
}

static uint32_t timed_number(sf_turn *turn)
{
    return (uint32_t)(*(const char *)sf_self(turn).id.data - 'k') % MESH_TIMED;
}

static int has(const unsigned char *bits, uint32_t number)
{
    return bits[number / 8] >> number % 8 & 1;
}

/* -- in a turn --------------------------------------------------------------------------------- */

static void check_time(sf_turn *turn, struct mesh *mesh, uint32_t me)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_now_ms(turn) < msg->due_ms || msg->due_ms == 0)
        JUDGE(turn, &mesh->verdict, "G10: '%s' of %u came early", msg->kind, me);
}

/* It came; once. */
static int note(sf_turn *turn, unsigned char *bits, uint32_t me)
{
    struct mesh *mesh = sf_userdata(turn);
    const uint32_t *number = sf_body(turn, sizeof *number);
    uint32_t n = *number % (MESH_NUMBERS + 1);
    check_time(turn, mesh, me);
    if (has(bits, n))
        JUDGE(turn, &mesh->verdict, "G10: '%s' %u of %u came twice", sf_msg(turn)->kind, n, me);
    bits[n / 8] |= (unsigned char)(1 << n % 8);
    return n % 32 == 7 && sf_msg(turn)->attempt == 1 ? sf_fail(turn, "moody when it came") : 0;
}

static int on_tick(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct timed *self = sf_state(turn);
    const uint32_t *number = sf_body(turn, sizeof *number);
    if (mesh_is_planted(mesh, "timer-twice") && *number % 16 == 3 && !has(self->ticked, *number))
        sf_timer_after(turn, "tick", SF_OF(*number), SOON_MS);
    return note(turn, self->ticked, timed_number(turn));
}

static int on_late(sf_turn *turn)
{
    struct timed *self = sf_state(turn);
    return note(turn, self->late, timed_number(turn));
}

static int on_told(sf_turn *turn)
{
    struct timed *self = sf_state(turn);
    return note(turn, self->told, timed_number(turn));
}

/* What the turn before set in an hour. */
static void cancel_last(sf_turn *turn, struct mesh *mesh, const struct timed *self, uint32_t me)
{
    if (self->last && fate(me, self->last) == FAR_TIMER)
        sf_timer_cancel(turn, "tick", SF_OF(self->last));
    if (self->last && fate(me, self->last) == FAR_TELL &&
        sf_tell_cancel(turn, SF_OF(self->last)) == 0)
        JUDGE(turn, &mesh->verdict, "G10: what %u was to send in an hour, %u, is not pending", me,
              self->last);
}

static void do_fate(sf_turn *turn, uint32_t me, uint32_t n)
{
    sf_address next = timed((me + 1) % MESH_TIMED);
    switch (fate(me, n)) {
    case TIMER:
        sf_timer_after(turn, "tick", SF_OF(n), n % SOON_MS);
        break;
    case FAR_TIMER:
        sf_timer_after(turn, "tick", SF_OF(n), SF_HOUR);
        break;
    case SOONER_TIMER:
        sf_timer_after(turn, "tick", SF_OF(n), SF_HOUR);
        sf_timer_after(turn, "tick", SF_OF(n), n % SOON_MS);
        break;
    case TELL:
        sf_tell_after(turn, SF_OF(n), SF_HOUR, next, "told", SF_OF(n));
        sf_tell_after(turn, SF_OF(n), n % SOON_MS, next, "told", SF_OF(n));
        break;
    case PLAIN_TELL:
        sf_tell_after(turn, SF_NONE, n % SOON_MS, next, "told", SF_OF(n));
        break;
    case FAR_TELL:
        sf_tell_after(turn, SF_OF(n), SF_HOUR, next, "told", SF_OF(n));
        break;
    default:
        break;
    }
}

/* Number 0 only cancels. */
static int on_set(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct timed *self = sf_state(turn);
    const uint32_t *number = sf_body(turn, sizeof *number);
    uint32_t me = timed_number(turn), n = *number % (MESH_NUMBERS + 1);
    cancel_last(turn, mesh, self, me);
    self->last = n;
    if (n == 0)
        return 0;
    if (has(self->seen, n))
        JUDGE(turn, &mesh->verdict, "G3: timed %u got number %u twice", me, n);
    self->seen[n / 8] |= (unsigned char)(1 << n % 8);
    do_fate(turn, me, n);
    return n % 16 == 5 && sf_msg(turn)->attempt == 1 ? sf_fail(turn, "moody after setting") : 0;
}

static const sf_type timed_type =
    SF_TYPE(TIMED,
            .on = {{"set", on_set}, {"tick", on_tick}, {"late", on_late}, {"told", on_told}},
            .state_size = sizeof(struct timed));

/* -- from outside ------------------------------------------------------------------------------ */

/* Another one under the same token first, which it replaces; and one that is cancelled at once. */
static int64_t send_late(struct run *run, uint32_t me, uint32_t n)
{
    uint64_t token = (uint64_t)me << 32 | n, gone = UINT64_MAX - me;
    int64_t ticket;
    MESH_GIVE(ticket, run,
              sf_send_after(run->rt, SF_OF(gone), SF_HOUR, timed(me), "late", SF_OF(n)),
              "send after");
    MESH_GIVE(ticket, run, sf_send_cancel(run->rt, SF_OF(gone)), "send cancel");
    if (n % 2)
        MESH_GIVE(ticket, run,
                  sf_send_after(run->rt, SF_OF(token), 2 * SOON_MS, timed(me), "set",
                                SF_OF((uint32_t){0})),
                  "send after");
    MESH_GIVE(ticket, run,
              sf_send_after(run->rt, n % 2 ? SF_OF(token) : SF_NONE, n % SOON_MS, timed(me), "late",
                            SF_OF(n)),
              "send after");
    return ticket;
}

static int act(struct lane *lane)
{
    struct run *run = lane->run;
    struct mesh_timers *model = &run->mesh->model.timers;
    uint32_t me = mesh_pick(lane, MESH_TIMED), n = atomic_load(&model->sent[me]) + 1;
    int64_t ticket;
    if (n > MESH_NUMBERS)
        return 0;
    atomic_store(&model->sent[me], n);
    if (is_late(me, n)) {
        if ((ticket = send_late(run, me, n)) < 0)
            return -1;
    } else {
        MESH_GIVE(ticket, run, sf_send(run->rt, timed(me), "set", SF_OF(n)), "send");
    }
    return mesh_owe(lane, ticket, &model->acked[me][n]);
}

/* Nothing stays that is due in an hour. */
static int calm(struct run *run)
{
    for (uint32_t me = 0; me < MESH_TIMED; me++) {
        uint64_t gone = UINT64_MAX - me;
        int64_t ticket;
        MESH_GIVE(ticket, run, sf_send_cancel(run->rt, SF_OF(gone)), "send cancel");
        MESH_GIVE(ticket, run, sf_send(run->rt, timed(me), "set", SF_OF((uint32_t){0})), "send");
    }
    return 0;
}

static int check_number(struct mesh *mesh, const struct timed *all, uint32_t me, uint32_t n)
{
    const struct mesh_timers *model = &mesh->model.timers;
    const struct timed *self = &all[me], *next = &all[(me + 1) % MESH_TIMED];
    enum fate what = fate(me, n);
    int late = is_late(me, n), came = late ? has(self->late, n) : has(self->seen, n);
    int ticks = !late && came && (what == TIMER || what == SOONER_TIMER);
    int tells = !late && came && (what == TELL || what == PLAIN_TELL);
    if (came && n > atomic_load(&model->sent[me]))
        return violate(&mesh->verdict, "G3: timed %u has number %u, never sent", me, n);
    if (!came && atomic_load(&model->acked[me][n]))
        return violate(&mesh->verdict, "G2: number %u of timed %u is lost", n, me);
    if (has(self->ticked, n) != ticks)
        return violate(&mesh->verdict, "G10: the timer %u of %u %s", n, me,
                       ticks ? "is lost" : "came and was not to");
    if (has(next->told, n) != tells)
        return violate(&mesh->verdict, "G10: what %u sent later, %u, %s", me, n,
                       tells ? "is lost" : "came and was not to");
    return 0;
}

static int check(struct run *run, sf_view *view)
{
    static struct timed all[MESH_TIMED];
    memset(all, 0, sizeof all);
    for (uint32_t i = 0; i < MESH_TIMED; i++) {
        sf_bytes state = sf_view_state(view, timed(i));
        if (state.data)
            memcpy(&all[i], state.data, sizeof all[i]);
    }
    for (uint32_t i = 0; i < MESH_TIMED; i++)
        for (uint32_t n = 1; n <= MESH_NUMBERS; n++)
            if (check_number(run->mesh, all, i, n) < 0)
                return -1;
    return 0;
}

const struct mesh_part mesh_timers = {.name = "timers",
                                      .types = {&timed_type},
                                      .one_in = 4,
                                      .act = act,
                                      .calm = calm,
                                      .check = check};
