/* mesh_calls.c - callers call each other, in chains, and fail within and after a call.
 *
 *   G8  a turn and those it called are kept together or not at all: what one says that it called,
 *       the other says that it was asked; and a chain is answered by its end
 *
 * Who is called has a higher number than who calls, so that no chain comes back.  Failing is over
 * with the second attempt. */
#include <inttypes.h>
#include <string.h>

#include "support/mesh_part.h"

static const char CALLER[] = "mesh/caller";

struct caller {
    uint64_t applied, called[MESH_CALLERS], asked[MESH_CALLERS];
    uint32_t last, last_run;
    unsigned char seen[MESH_NUMBERS / 8 + 1];
};

struct go {
    uint32_t number, run;
};

struct ask {
    uint32_t origin, number, attempt; /* of the turn that began the chain */
};

static sf_address caller(uint32_t number)
{
    static const char ids[MESH_CALLERS] = "ABCDEFGH";
    return (sf_address){.type = CALLER, .id = {&ids[number], 1}};
}

static uint32_t caller_number(sf_address address)
{
    return (uint32_t)(*(const char *)address.id.data - 'A') % MESH_CALLERS;
}

static uint64_t fate(uint32_t origin, uint32_t number, uint32_t me)
{
    return mix64(((uint64_t)origin << 32 | number) * 16 + me + 7);
}

/* Whom the chain goes on to; MESH_CALLERS: it ends here. */
static uint32_t next_of(uint32_t origin, uint32_t number, uint32_t me)
{
    uint64_t dice = fate(origin, number, me);
    return dice % 4 ? me + 1 + (uint32_t)(dice >> 8) % (MESH_CALLERS - me) : MESH_CALLERS;
}

static uint32_t end_of(uint32_t origin, uint32_t number, uint32_t me)
{
    for (uint32_t next; (next = next_of(origin, number, me)) < MESH_CALLERS;)
        me = next;
    return me;
}

/* Calls the next one, if there is one, and answers for the end of the chain. */
static uint32_t call_on(sf_turn *turn, struct mesh *mesh, struct caller *self, uint32_t me,
                        const struct ask *ask)
{
    uint32_t next = next_of(ask->origin, ask->number, me), end;
    if (next >= MESH_CALLERS)
        return me;
    const sf_message *reply = sf_call(turn, caller(next), "ask", SF_OF(*ask));
    self->called[next]++;
    if (reply->body.size != sizeof end) {
        JUDGE(turn, &mesh->verdict, "G8: caller %u was answered with %zu bytes", me,
              reply->body.size);
        return MESH_CALLERS;
    }
    memcpy(&end, reply->body.data, sizeof end);
    if (end != end_of(ask->origin, ask->number, me))
        JUDGE(turn, &mesh->verdict, "G8: caller %u was answered by %u instead of %u", me, end,
              end_of(ask->origin, ask->number, me));
    return end;
}

static int on_ask(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct caller *self = sf_state(turn);
    const struct ask *ask = sf_body(turn, sizeof *ask);
    uint32_t me = caller_number(sf_self(turn)), from = caller_number(sf_msg(turn)->from);
    mesh_check_type_awake(mesh, &mesh_caller_type);
    self->asked[from]++;
    uint32_t end = call_on(turn, mesh, self, me, ask);
    sf_reply(turn, "end", SF_OF(end));
    return fate(ask->origin, ask->number, me) % 16 == 1 && ask->attempt == 1
               ? sf_fail(turn, "moody within a call")
               : 0;
}

static void check_order(sf_turn *turn, struct mesh *mesh, const struct caller *self, uint32_t me,
                        const struct go *go)
{
    if (self->seen[go->number / 8] & 1 << go->number % 8)
        JUDGE(turn, &mesh->verdict, "G3: caller %u got number %u twice", me, go->number);
    if (go->number <= self->last ||
        (go->run == self->last_run && go->number != self->last + 1))
        JUDGE(turn, &mesh->verdict, "G4: caller %u got number %u of run %u after %u of run %u", me,
              go->number, go->run, self->last, self->last_run);
}

static int on_go(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct caller *self = sf_state(turn);
    const struct go *go = sf_body(turn, sizeof *go);
    uint32_t me = caller_number(sf_self(turn)), number = go->number % (MESH_NUMBERS + 1);
    struct ask ask = {me, number, sf_msg(turn)->attempt};
    mesh_check_type_awake(mesh, &mesh_caller_type);
    check_order(turn, mesh, self, me, go);
    self->last = number;
    self->last_run = go->run;
    self->seen[number / 8] |= (unsigned char)(1 << number % 8);
    self->applied++;
    (void)call_on(turn, mesh, self, me, &ask);
    if (mesh_is_planted(mesh, "half-a-call") && number % 16 == 3)
        self->called[me]++;
    return fate(me, number, me) % 16 == 2 && ask.attempt == 1 ? sf_fail(turn, "moody after a call")
                                                              : 0;
}

const sf_type mesh_caller_type = SF_TYPE(CALLER, .on = {{"go", on_go}, {"ask", on_ask}},
                                         .state_size = sizeof(struct caller));

/* -- from outside ------------------------------------------------------------------------------ */

static int act(struct lane *lane)
{
    struct run *run = lane->run;
    struct mesh_calls *model = &run->mesh->model.calls;
    uint32_t me = mesh_pick(lane, MESH_CALLERS);
    struct go go = {atomic_load(&model->sent[me]) + 1, run->mesh->run};
    int64_t ticket;
    if (go.number > MESH_NUMBERS)
        return 0;
    atomic_store(&model->sent[me], go.number);
    MESH_GIVE(ticket, run, sf_send(run->rt, caller(me), "go", SF_OF(go)), "send");
    return mesh_owe(lane, ticket, &model->acked[me][go.number]);
}

static int check_numbers(struct mesh *mesh, const struct caller *callers, uint32_t me)
{
    const struct mesh_calls *model = &mesh->model.calls;
    uint64_t applied = 0;
    for (uint32_t k = 1; k <= MESH_NUMBERS; k++) {
        int seen = callers[me].seen[k / 8] >> k % 8 & 1;
        applied += (uint64_t)seen;
        if (seen && k > atomic_load(&model->sent[me]))
            return violate(&mesh->verdict, "G3: caller %u has number %u, never sent", me, k);
        if (!seen && atomic_load(&model->acked[me][k]))
            return violate(&mesh->verdict, "G2: number %u of caller %u is lost", k, me);
    }
    return applied == callers[me].applied
               ? 0
               : violate(&mesh->verdict, "G8: caller %u has %" PRIu64 " numbers, applied %" PRIu64,
                         me, applied, callers[me].applied);
}

static int check_pairs(struct mesh *mesh, const struct caller *callers, uint32_t me)
{
    for (uint32_t to = 0; to < MESH_CALLERS; to++)
        if (callers[me].called[to] != callers[to].asked[me])
            return violate(&mesh->verdict,
                           "G8: caller %u called %u %" PRIu64 " times and that was asked %" PRIu64,
                           me, to, callers[me].called[to], callers[to].asked[me]);
    return 0;
}

static void read_callers(sf_view *view, struct caller *callers)
{
    memset(callers, 0, sizeof *callers * MESH_CALLERS);
    for (uint32_t i = 0; i < MESH_CALLERS; i++) {
        sf_bytes state = sf_view_state(view, caller(i));
        if (state.data)
            memcpy(&callers[i], state.data, sizeof callers[i]);
    }
}

/* A chain is whole in any state that a kill leaves. */
static int look(struct run *run, sf_view *view)
{
    static struct caller callers[MESH_CALLERS];
    read_callers(view, callers);
    for (uint32_t i = 0; i < MESH_CALLERS; i++)
        if (check_pairs(run->mesh, callers, i) < 0)
            return -1;
    return 0;
}

static int check(struct run *run, sf_view *view)
{
    static struct caller callers[MESH_CALLERS];
    read_callers(view, callers);
    for (uint32_t i = 0; i < MESH_CALLERS; i++)
        if (check_numbers(run->mesh, callers, i) < 0)
            return -1;
    return look(run, view);
}

const struct mesh_part mesh_callers = {.name = "calls",
                                       .types = {&mesh_caller_type},
                                       .one_in = 4,
                                       .act = act,
                                       .look = look,
                                       .check = check};
