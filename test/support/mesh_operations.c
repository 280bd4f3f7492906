/* mesh_operations.c - sellers ask for what takes long, on threads of the library and where the host drives, and wait
 * for it; what waits meanwhile comes behind, or is taken and asked for together.
 *
 *   G12  nothing is handled by a seller that awaits; an operation is answered once, with what it was asked, or as
 *        unknown after a kill, and then asked again; whatever was sent is answered in the end
 *
 * Some operations are answered by nobody, and end by their limit. */
#include <inttypes.h>
#include <string.h>

#include "support/mesh_part.h"

static const char SELLER[] = "mesh/seller";

struct seller {
    uint64_t applied, answered; /* orders met; of these, answered */
    uint64_t under_way;         /* asked for and not answered: so many orders */
    uint64_t asked;             /* the newest request */
    uint32_t last, last_run;
    unsigned char seen[MESH_NUMBERS / 8 + 1];
};

struct sale {
    uint32_t number, run;
};

static sf_address seller(uint32_t number)
{
    static const char ids[MESH_SELLERS] = "abcdefgh";
    return (sf_address){.type = SELLER, .id = {&ids[number], 1}};
}

static uint32_t seller_number(sf_address address)
{
    return (uint32_t)(*(const char *)address.id.data - 'a') % MESH_SELLERS;
}

/* Every eighth is forgotten; some tell the answer twice, which must not matter. */
static void answer(sf_async op, sf_bytes request, void *userdata)
{
    uint64_t asked = 0;
    (void)userdata;
    if (request.size == sizeof asked)
        memcpy(&asked, request.data, sizeof asked);
    if (asked % 8 == 3)
        return;
    (void)!sf_async_done(op, request);
    if (asked % 4 == 1)
        (void)!sf_async_fail(op, "too late");
}

static int ask(sf_turn *turn, struct seller *self, uint64_t orders)
{
    self->under_way = orders;
    self->asked++;
    if (self->asked % 2)
        sf_async_work(turn, answer, ".sold", SF_OF(self->asked));
    else
        sf_async_start(turn, answer, ".sold", SF_OF(self->asked));
    if (self->asked % 8 == 3)
        sf_async_limit(turn, 2);
    return sf_await(turn);
}

static void meet(sf_turn *turn, struct mesh *mesh, struct seller *self, const struct sale *sale)
{
    uint32_t me = seller_number(sf_self(turn)), number = sale->number % (MESH_NUMBERS + 1);
    if (self->seen[number / 8] & 1 << number % 8)
        JUDGE(turn, &mesh->verdict, "G3: seller %u got number %u twice", me, number);
    if (number <= self->last || (sale->run == self->last_run && number != self->last + 1))
        JUDGE(turn, &mesh->verdict, "G4: seller %u got number %u of run %u after %u of run %u", me,
              number, sale->run, self->last, self->last_run);
    self->last = number;
    self->last_run = sale->run;
    self->seen[number / 8] |= (unsigned char)(1 << number % 8);
    self->applied++;
}

static int on_sell(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct seller *self = sf_state(turn);
    const struct sale *sale = sf_body(turn, sizeof *sale);
    if (self->under_way)
        JUDGE(turn, &mesh->verdict, "G12: seller %u awaits, and got number %u",
              seller_number(sf_self(turn)), sale->number);
    meet(turn, mesh, self, sale);
    return ask(turn, self, 1);
}

/* What waits is asked for together. */
static int take_next(sf_turn *turn, struct mesh *mesh, struct seller *self)
{
    const sf_message *msg;
    uint64_t taken = 0;
    while (taken < 3 && (msg = sf_take(turn))) {
        const struct sale *sale = sf_struct(msg->body, sizeof *sale);
        if (!sale)
            return sf_reject(turn, "no sale");
        meet(turn, mesh, self, sale);
        taken++;
    }
    return taken ? ask(turn, self, taken) : 0;
}

static int on_sold(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct seller *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    uint64_t asked = 0;
    if (msg->request.size == sizeof asked)
        memcpy(&asked, msg->request.data, sizeof asked);
    if (!self->under_way || asked != self->asked)
        JUDGE(turn, &mesh->verdict, "G12: seller %u asked %" PRIu64 " and was answered %" PRIu64,
              seller_number(sf_self(turn)), self->asked, asked);
    if (msg->result == SF_EUNKNOWN || msg->result == SF_ETIMEOUT)
        return ask(turn, self, self->under_way);
    if (msg->result || msg->body.size != sizeof asked || memcmp(msg->body.data, &asked, sizeof asked) != 0)
        JUDGE(turn, &mesh->verdict, "G12: seller %u got another's answer, %d",
              seller_number(sf_self(turn)), msg->result);
    if (mesh_is_planted(mesh, "lost-sale") && asked % 8 == 2)
        self->answered--;
    self->answered += self->under_way;
    self->under_way = 0;
    if (asked % 16 == 5 && msg->attempt == 1)
        return sf_fail(turn, "moody after an answer");
    return asked % 2 ? take_next(turn, mesh, self) : 0;
}

static const sf_type seller_type = SF_TYPE(SELLER, .on = {{"sell", on_sell}, {".sold", on_sold}},
                                           .state_size = sizeof(struct seller));

/* -- from outside ------------------------------------------------------------------------------ */

static int act(struct lane *lane)
{
    struct run *run = lane->run;
    struct mesh_sellers *model = &run->mesh->model.sellers;
    uint32_t me = mesh_pick(lane, MESH_SELLERS);
    struct sale sale = {atomic_load(&model->sent[me]) + 1, run->mesh->run};
    int64_t ticket;
    if (sale.number > MESH_NUMBERS)
        return 0;
    atomic_store(&model->sent[me], sale.number);
    MESH_GIVE(ticket, run, sf_send(run->rt, seller(me), "sell", SF_OF(sale)), "send");
    return mesh_owe(lane, ticket, &model->acked[me][sale.number]);
}

static void read_seller(sf_view *view, uint32_t me, struct seller *out)
{
    sf_bytes state = sf_view_state(view, seller(me));
    memset(out, 0, sizeof *out);
    if (state.data)
        memcpy(out, state.data, sizeof *out);
}

/* In any state that a kill leaves. */
static int look(struct run *run, sf_view *view)
{
    static struct seller all[MESH_SELLERS];
    for (uint32_t i = 0; i < MESH_SELLERS; i++) {
        read_seller(view, i, &all[i]);
        if (all[i].applied != all[i].answered + all[i].under_way)
            return violate(&run->mesh->verdict,
                           "G12: seller %u met %" PRIu64 ", answered %" PRIu64 ", under way %" PRIu64,
                           i, all[i].applied, all[i].answered, all[i].under_way);
    }
    return 0;
}

static int check_one(struct mesh *mesh, const struct seller *self, uint32_t me)
{
    const struct mesh_sellers *model = &mesh->model.sellers;
    for (uint32_t k = 1; k <= MESH_NUMBERS; k++) {
        int seen = self->seen[k / 8] >> k % 8 & 1;
        if (seen && k > atomic_load(&model->sent[me]))
            return violate(&mesh->verdict, "G3: seller %u has number %u, never sent", me, k);
        if (!seen && atomic_load(&model->acked[me][k]))
            return violate(&mesh->verdict, "G2: number %u of seller %u is lost", k, me);
    }
    return self->under_way ? violate(&mesh->verdict, "G12: seller %u still waits", me) : 0;
}

static int check(struct run *run, sf_view *view)
{
    static struct seller one;
    for (uint32_t i = 0; i < MESH_SELLERS; i++) {
        read_seller(view, i, &one);
        if (check_one(run->mesh, &one, i) < 0)
            return -1;
    }
    return look(run, view);
}

const struct mesh_part mesh_operations = {.name = "operations",
                                          .types = {&seller_type},
                                          .one_in = 4,
                                          .act = act,
                                          .look = look,
                                          .check = check};
