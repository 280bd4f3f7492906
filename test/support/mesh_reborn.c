/* mesh_reborn.c - actors are purged from outside, and clear themselves.
 *
 *   G7  nothing that was sent before a purge has a turn once the purge is durable, nor finds what
 *       was there; what was sent later finds zeroes.  A turn that clears leaves nothing, or what it
 *       wrote past that; one that is undone has cleared nothing.
 *
 * Ticks of an actor carry a generation, which rises with each purge, and a number, which rises
 * always.  What a tick must find follows from the one before it, if the same life sent both.  A purge
 * whose ticket never was durable may not have been: so the next life purges once more. */
#include <inttypes.h>
#include <string.h>

#include "support/mesh_part.h"

static const char REBORN[] = "mesh/reborn";

struct reborn {
    uint32_t generation, number;
};

struct tick {
    uint32_t generation, number;
    uint32_t follows; /* the tick before it was sent by the same life, in this generation */
    uint32_t is_first; /* of its generation */
};

static const sf_value memo = SF_VALUE("memo");

static sf_address reborn(uint32_t number)
{
    static const char ids[MESH_REBORN] = "stuvwxyz";
    return (sf_address){.type = REBORN, .id = {&ids[number], 1}};
}

enum fate { STAYS, CLEARS, CLEARS_AND_WRITES, CLEARS_AND_FAILS };

static enum fate fate(uint32_t actor, uint32_t number)
{
    uint64_t dice = mix64(((uint64_t)actor << 32 | number) * 3 + 5) % 24;
    return dice < 3 ? (enum fate)(dice + 1) : STAYS;
}

/* -- in a turn --------------------------------------------------------------------------------- */

static uint32_t memo_now(sf_turn *turn)
{
    sf_bytes bytes = sf_value_get(turn, &memo);
    uint32_t number = 0;
    if (bytes.size == sizeof number)
        memcpy(&number, bytes.data, sizeof number);
    return number;
}

/* What the tick before it left. */
static void check_found(sf_turn *turn, struct mesh *mesh, const struct reborn *self, uint32_t me,
                        const struct tick *tick)
{
    uint32_t before = tick->number - 1, noted = memo_now(turn);
    struct reborn must = {0};
    if (!tick->is_first && fate(me, before) != CLEARS)
        must = (struct reborn){tick->generation, before};
    if (memcmp(self, &must, sizeof must) != 0 || noted != must.number)
        JUDGE(turn, &mesh->verdict,
              "G7: tick %u of generation %u finds %u of %u, and the value of %u, in actor %u",
              tick->number, tick->generation, self->number, self->generation, noted, me);
}

static void check_tick(sf_turn *turn, struct mesh *mesh, const struct reborn *self, uint32_t me,
                       const struct tick *tick)
{
    if (tick->generation < atomic_load(&mesh->model.reborn.purged[me]))
        JUDGE(turn, &mesh->verdict, "G7: tick %u of generation %u has a turn, actor %u was purged",
              tick->number, tick->generation, me);
    if (self->generation && self->generation != tick->generation)
        JUDGE(turn, &mesh->verdict, "G7: tick %u of generation %u finds generation %u in actor %u",
              tick->number, tick->generation, self->generation, me);
    if (tick->follows || tick->is_first)
        check_found(turn, mesh, self, me, tick);
}

static int on_tick(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct reborn *self = sf_state(turn);
    const struct tick *tick = sf_body(turn, sizeof *tick);
    uint32_t me = (uint32_t)(*(const char *)sf_self(turn).id.data - 's') % MESH_REBORN;
    enum fate now = fate(me, tick->number);
    check_tick(turn, mesh, self, me, tick);
    sf_reply(turn, "tock", SF_OF(tick->number));
    if (now != STAYS && !mesh_is_planted(mesh, "no-clear"))
        sf_clear(turn);
    if (now == CLEARS)
        return 0;
    if (now == CLEARS_AND_FAILS && sf_msg(turn)->attempt == 1)
        return sf_fail(turn, "moody after a clear");
    *self = (struct reborn){tick->generation, tick->number};
    return sf_value_put(turn, &memo, SF_OF(tick->number));
}

static const sf_type reborn_type = SF_TYPE(REBORN, .on = {{"tick", on_tick}}, .values = {&memo},
                                           .state_size = sizeof(struct reborn));

/* -- from outside ------------------------------------------------------------------------------ */

/* Purged for sure once that is durable; `waits`: see to it that it is. */
static int purge(struct lane *lane, uint32_t me, int waits)
{
    struct run *run = lane->run;
    struct mesh_reborn *model = &run->mesh->model.reborn;
    uint32_t generation = atomic_load(&model->asked[me]) + 1;
    int64_t ticket = 1;
    atomic_store(&model->asked[me], generation);
    atomic_store(&model->kept[me], 0);
    model->began[me] = atomic_load(&model->sent[me]) + 1;
    if (!mesh_is_planted(run->mesh, "no-purge") || generation % 4)
        MESH_GIVE(ticket, run, sf_purge(run->rt, reborn(me)), "purge");
    if (!waits)
        return 0;
    if (mesh_wait(run, ticket) < 0)
        return -1;
    atomic_store(&model->purged[me], generation);
    return 0;
}

static int send_tick(struct lane *lane, uint32_t me)
{
    struct run *run = lane->run;
    struct mesh_reborn *model = &run->mesh->model.reborn;
    uint32_t number = atomic_load(&model->sent[me]) + 1, is_first = number == model->began[me];
    struct tick tick = {atomic_load(&model->asked[me]), number,
                        !is_first && model->sent_in[me] == run->mesh->run, is_first};
    int64_t ticket;
    if (number > MESH_TICKS)
        return 0;
    atomic_store(&model->sent[me], number);
    model->sent_in[me] = run->mesh->run;
    MESH_GIVE(ticket, run, sf_send(run->rt, reborn(me), "tick", SF_OF(tick)), "send");
    if (dice_below(&lane->dice, 32))
        return 0;
    if (mesh_wait(run, ticket) < 0)
        return -1;
    atomic_store(&model->kept[me], number);
    return 0;
}

/* What waits for who is paused goes with the purge, and so does the pause. */
static int pause_and_purge(struct lane *lane, uint32_t me)
{
    struct run *run = lane->run;
    int64_t ticket;
    MESH_GIVE(ticket, run, sf_pause(run->rt, reborn(me), "until it is purged"), "pause");
    for (int i = 0; i < 3; i++)
        if (send_tick(lane, me) < 0)
            return -1;
    return purge(lane, me, 1);
}

/* The first thing that a life does with an actor. */
static int make_sure(struct lane *lane, uint32_t me)
{
    const struct mesh_reborn *model = &lane->run->mesh->model.reborn;
    uint32_t asked = atomic_load(&model->asked[me]);
    return asked == 0 || (model->sent_in[me] != lane->run->mesh->run &&
                          asked != atomic_load(&model->purged[me]))
               ? purge(lane, me, dice_below(&lane->dice, 4) == 0)
               : 0;
}

static int act(struct lane *lane)
{
    uint32_t me = mesh_pick(lane, MESH_REBORN);
    uint64_t dice = dice_below(&lane->dice, 24);
    if (make_sure(lane, me) < 0)
        return -1;
    return dice == 0   ? pause_and_purge(lane, me)
           : dice == 1 ? purge(lane, me, (int)dice_below(&lane->dice, 2))
                       : send_tick(lane, me);
}

/* A kill between a pause and its purge. */
static int calm(struct run *run)
{
    for (uint32_t i = 0; i < MESH_REBORN; i++) {
        int64_t ticket;
        MESH_GIVE(ticket, run, sf_resume(run->rt, reborn(i)), "resume");
    }
    return 0;
}

/* -- what must be there ------------------------------------------------------------------------ */

/* Could tick `number` of generation `generation` have been the last? */
static int is_left_by(const struct reborn *found, uint32_t me, uint32_t generation, uint32_t number)
{
    struct reborn must = {0};
    if (fate(me, number) != CLEARS)
        must = (struct reborn){generation, number};
    return memcmp(found, &must, sizeof must) == 0;
}

static int check_reborn(struct mesh *mesh, const struct reborn *found, uint32_t me)
{
    const struct mesh_reborn *model = &mesh->model.reborn;
    uint32_t asked = atomic_load(&model->asked[me]), purged = atomic_load(&model->purged[me]);
    uint32_t kept = atomic_load(&model->kept[me]), sent = atomic_load(&model->sent[me]);
    if (found->generation && (found->generation < purged || found->generation > asked))
        return violate(&mesh->verdict,
                       "G7: actor %u is of generation %u, and was purged before %u", me,
                       found->generation, purged);
    if (asked != purged || asked == 0)
        return 0;
    if (sent < model->began[me] || !kept) /* perhaps none came through */
        if (memcmp(found, &(struct reborn){0}, sizeof *found) == 0)
            return 0;
    for (uint32_t k = kept > model->began[me] ? kept : model->began[me]; k <= sent; k++)
        if (is_left_by(found, me, asked, k))
            return 0;
    return violate(&mesh->verdict,
                   "G7: actor %u has tick %u of generation %u; sent %u to %u of %u, %u were kept",
                   me, found->number, found->generation, model->began[me], sent, asked, kept);
}

static int check(struct run *run, sf_view *view)
{
    for (uint32_t i = 0; i < MESH_REBORN; i++) {
        struct reborn found = {0};
        sf_bytes state = sf_view_state(view, reborn(i));
        if (state.data)
            memcpy(&found, state.data, sizeof found);
        if (check_reborn(run->mesh, &found, i) < 0)
            return -1;
    }
    return 0;
}

const struct mesh_part mesh_reborns = {.name = "purge and clear",
                                       .types = {&reborn_type},
                                       .one_in = 5,
                                       .act = act,
                                       .calm = calm,
                                       .check = check};
