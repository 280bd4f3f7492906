/* mesh_nodes.c - ACTORS nodes: numbered orders from outside, records from a source, tokens between
 * each other, an egress record for each order, failures.  See mesh.h: G1 to G5.
 *
 * A violation seen in a turn that is undone later was still one, because what the turn saw was
 * wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/mesh_part.h"

static const char NODE[] = "mesh/node", OUT[] = "mesh/out";

/* -- what follows from the numbers ------------------------------------------------------------- */

static uint64_t fate(uint32_t actor, uint32_t number)
{
    return mix64(((uint64_t)actor << 32 | number) + 1);
}

int mesh_is_poison(uint32_t actor, uint32_t number)
{
    return fate(actor, number) % 20 == 0;
}

/* Fails the first time, and only then. */
static int is_moody(uint32_t actor, uint32_t number)
{
    return fate(actor, number) % 20 == 1;
}

static uint32_t next_sound(uint32_t actor, uint32_t number)
{
    do
        number++;
    while (mesh_is_poison(actor, number));
    return number;
}

/* -- the actors -------------------------------------------------------------------------------- */

struct node {
    int64_t balance;                      /* tokens: one goes with each "token" */
    uint64_t applied, emitted;            /* messages from outside, records */
    uint64_t fed[MESH_PARTITIONS], fed_sum[MESH_PARTITIONS];
    uint64_t fed_last[MESH_PARTITIONS];
    uint64_t told[MESH_ACTORS], heard[MESH_ACTORS];
    uint32_t last, last_run;
    unsigned char seen[MESH_NUMBERS / 8 + 1];
};

struct feed {
    uint64_t position;
    uint32_t partition, unused;
};

struct record {
    uint64_t serial, applied;
    uint32_t actor, number;
};

sf_address mesh_node(uint32_t number)
{
    static const char ids[MESH_ACTORS] = "abcdefghijklmnop";
    return (sf_address){.type = NODE, .id = {&ids[number], 1}};
}

uint32_t mesh_node_number(sf_address address)
{
    return (uint32_t)(*(const char *)address.id.data - 'a');
}

static int tell_token(sf_turn *turn, struct node *self, uint32_t to)
{
    self->balance--;
    self->told[to]++;
    return sf_tell(turn, mesh_node(to), "token", SF_OF(self->told[to]));
}

/* G3, G4: each number once, in order, none left out but poison and what a kill took. */
static void check_order(sf_turn *turn, struct mesh *mesh, const struct node *self, uint32_t me,
                        const struct mesh_order *order)
{
    if (order->number == 0 || order->number > MESH_NUMBERS) {
        JUDGE(turn, &mesh->verdict, "G1: actor %u got number %u", me, order->number);
        return;
    }
    if (self->seen[order->number / 8] & 1 << order->number % 8)
        JUDGE(turn, &mesh->verdict, "G3: actor %u got number %u twice", me, order->number);
    if (order->number <= self->last || order->run < self->last_run)
        JUDGE(turn, &mesh->verdict, "G4: actor %u got number %u of run %u after %u of run %u", me,
                order->number, order->run, self->last, self->last_run);
    if (order->run == self->last_run && order->number != next_sound(me, self->last))
        JUDGE(turn, &mesh->verdict, "G4: actor %u got number %u after %u in one run", me,
              order->number, self->last);
}

/* Is it poison that the node does not take? */
static int is_poisonous(const struct mesh *mesh, uint32_t actor, uint32_t number)
{
    return mesh_is_poison(actor, number) && !atomic_load(&mesh->model.dead.cured[actor][number]);
}

/* One that was a dead letter comes when it comes, but once. */
static void check_cured(sf_turn *turn, struct mesh *mesh, const struct node *self, uint32_t me,
                        uint32_t number)
{
    if (self->seen[number / 8] & 1 << number % 8)
        JUDGE(turn, &mesh->verdict, "G3: actor %u got dead letter %u twice", me, number);
}

static void tell_and_emit(sf_turn *turn, struct node *self, uint32_t me, uint32_t number)
{
    uint64_t dice = fate(me, number);
    for (uint64_t i = 0; i < dice % 3; i++)
        tell_token(turn, self, (uint32_t)(mix64(dice + i) % MESH_ACTORS));
    struct record record = {self->emitted + 1, self->applied, me, number};
    self->emitted++;
    sf_emit(turn, OUT, "record", SF_OF(record));
}

static int node_order(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct node *self = sf_state(turn);
    const struct mesh_order *order = sf_body(turn, sizeof *order);
    uint32_t me = mesh_node_number(sf_self(turn)), number = order->number % (MESH_NUMBERS + 1);
    int is_poison = mesh_is_poison(me, number);
    mesh_check_awake(mesh, me);
    if (is_poison) {
        check_cured(turn, mesh, self, me, number);
    } else {
        check_order(turn, mesh, self, me, order);
        self->last = number;
        self->last_run = order->run;
    }
    self->seen[number / 8] |= (unsigned char)(1 << number % 8);
    self->applied++;
    tell_and_emit(turn, self, me, number);
    if (is_poison && is_poisonous(mesh, me, number))
        return number % 2 ? sf_fail(turn, "poison %u", number)
                          : sf_reject(turn, "poison %u", number);
    return is_moody(me, number) && sf_msg(turn)->attempt == 1 ? sf_fail(turn, "moody") : 0;
}

static int node_token(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct node *self = sf_state(turn);
    uint32_t from = mesh_node_number(sf_msg(turn)->from), me = mesh_node_number(sf_self(turn));
    mesh_check_awake(mesh, me);
    uint64_t number = *(const uint64_t *)sf_body(turn, sizeof number);
    if (number != self->heard[from] + 1)
        JUDGE(turn, &mesh->verdict,
                "G4: actor %u heard %" PRIu64 " after %" PRIu64 " from actor %u; applied %" PRIu64
                ", balance %" PRId64 ", attempt %u; this thread's last refusal: %s",
                me, number, self->heard[from], from, self->applied, self->balance,
                sf_msg(turn)->attempt, sf_errmsg());
    self->heard[from] = number;
    self->balance++;
    if (mix64(number + from) % 4 == 0) /* and so on, until it dies out */
        tell_token(turn, self, (uint32_t)(mix64(number * 31 + me) % MESH_ACTORS));
    return mix64(number * 17 + from) % 20 == 0 && sf_msg(turn)->attempt == 1
               ? sf_fail(turn, "moody")
               : 0;
}

static int node_feed(sf_turn *turn)
{
    struct mesh *mesh = sf_userdata(turn);
    struct node *self = sf_state(turn);
    const struct feed *feed = sf_body(turn, sizeof *feed);
    uint32_t partition = feed->partition % MESH_PARTITIONS, me = mesh_node_number(sf_self(turn));
    mesh_check_awake(mesh, me);
    if (feed->position <= self->fed_last[partition])
        JUDGE(turn, &mesh->verdict,
              "G3: actor %u got record %" PRIu64 " after %" PRIu64 " of partition %u", me,
              feed->position, self->fed_last[partition], partition);
    self->fed[partition]++;
    self->fed_sum[partition] += feed->position;
    self->fed_last[partition] = feed->position;
    tell_token(turn, self, (uint32_t)(feed->position % MESH_ACTORS));
    return 0;
}

const sf_type mesh_node_type =
    SF_TYPE(NODE, .on = {{"order", node_order}, {"token", node_token}, {"feed", node_feed}},
            .state_size = sizeof(struct node));

/* -- the sink ---------------------------------------------------------------------------------- */

static uint64_t hash_bytes(sf_bytes bytes)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < bytes.size; i++)
        hash = mix64(hash + ((const unsigned char *)bytes.data)[i]);
    return hash | 1;
}

static int sink_take_one(struct mesh *mesh, const sf_message *msg)
{
    struct mesh_model *model = &mesh->model;
    uint64_t delivered = atomic_load(&model->delivered), hash = hash_bytes(msg->body);
    struct record record;
    if (msg->sequence == 0 || msg->sequence > delivered + 1 || msg->sequence > MESH_RECORDS)
        return violate(&mesh->verdict, "G5: record %" PRIu64 " came after %" PRIu64, msg->sequence,
                       delivered);
    if (msg->body.size != sizeof record)
        return violate(&mesh->verdict, "G5: record %" PRIu64 " has %zu bytes", msg->sequence,
                       msg->body.size);
    if (msg->sequence <= delivered) {
        mesh->counts.repeated++;
        return hash == model->record[msg->sequence]
                   ? 0
                   : violate(&mesh->verdict, "G5: record %" PRIu64 " came again with other bytes",
                             msg->sequence);
    }
    memcpy(&record, msg->body.data, sizeof record);
    model->record[msg->sequence] = hash;
    model->record_actor[msg->sequence] = record.actor;
    model->record_number[msg->sequence] = record.number;
    atomic_store(&model->delivered, msg->sequence); /* last: a kill in between delivers it again */
    mesh->counts.records++;
    return 0;
}

/* All, some of them, or all of them again. */
static int sink_take(const sf_message *const *records, size_t count, void *userdata)
{
    struct mesh *mesh = userdata;
    uint64_t dice = mix64(mesh->seed + ++mesh->sink_calls), mood = dice % 8;
    size_t taken = mood == 0 ? 1 + (dice >> 8) % count : count;
    for (size_t i = 0; i < count; i++) {
        if (i && records[i]->sequence != records[i - 1]->sequence + 1)
            violate(&mesh->verdict, "G5: record %" PRIu64 " next to %" PRIu64, records[i]->sequence,
                    records[i - 1]->sequence);
        if (i < taken && sink_take_one(mesh, records[i]) < 0)
            return -1;
    }
    return mood == 1 && !mesh->only_check ? -1 : (int)taken;
}

/* -- checks ------------------------------------------------------------------------------------ */

static int read_nodes(struct mesh *mesh, sf_view *view, struct node nodes[MESH_ACTORS])
{
    memset(nodes, 0, sizeof *nodes * MESH_ACTORS);
    for (uint32_t i = 0; i < MESH_ACTORS; i++) {
        sf_bytes bytes = sf_view_state(view, mesh_node(i));
        if (bytes.data && bytes.size != sizeof nodes[i])
            return violate(&mesh->verdict, "G1: actor %u has %zu bytes", i, bytes.size);
        if (bytes.data)
            memcpy(&nodes[i], bytes.data, bytes.size);
    }
    return 0;
}

static int has_seen(const struct node *node, uint32_t number)
{
    return node->seen[number / 8] >> number % 8 & 1;
}

/* Holds after any kill, before the first turn: what left the process is on disk (the gate, G5). */
static int check_delivered(struct mesh *mesh, const struct node nodes[MESH_ACTORS])
{
    const struct mesh_model *model = &mesh->model;
    uint64_t emitted = 0, delivered = atomic_load(&model->delivered);
    for (uint32_t i = 0; i < MESH_ACTORS; i++)
        emitted += nodes[i].emitted;
    if (emitted < delivered)
        return violate(&mesh->verdict,
                       "G5: %" PRIu64 " records were delivered, %" PRIu64 " are on disk", delivered,
                       emitted);
    for (uint64_t s = 1; s <= delivered; s++)
        if (!has_seen(&nodes[model->record_actor[s] % MESH_ACTORS], model->record_number[s]))
            return violate(&mesh->verdict,
                           "G5: record %" PRIu64 " was delivered before its turn was on disk", s);
    return 0;
}

static int check_messages(struct mesh *mesh, const struct node *node, uint32_t actor,
                          const unsigned char *dead)
{
    struct mesh_model *model = &mesh->model;
    uint64_t applied = 0;
    for (uint32_t k = 1; k <= MESH_NUMBERS; k++) {
        int seen = has_seen(node, k), acked = atomic_load(&model->acked[actor][k]);
        if (seen && k > atomic_load(&model->sent[actor]))
            return violate(&mesh->verdict, "G3: actor %u has number %u, which was never sent",
                           actor, k);
        if (seen && is_poisonous(mesh, actor, k))
            return violate(&mesh->verdict, "G8: actor %u kept poison number %u", actor, k);
        if (seen && dead[k])
            return violate(&mesh->verdict, "G9: number %u of actor %u was applied and is dead", k,
                           actor);
        if (acked && !seen && !dead[k] &&
            !(mesh_is_poison(actor, k) && mesh_may_be_away(mesh, actor, k)))
            return violate(&mesh->verdict, "G2: number %u of actor %u was acknowledged and is lost",
                           k, actor);
        applied += (uint64_t)seen;
        mesh->counts.acked += (uint64_t)acked;
        mesh->counts.dead += dead[k];
    }
    mesh->counts.applied += applied;
    if (node->applied != applied || node->emitted != applied)
        return violate(&mesh->verdict,
                       "G1: actor %u has %" PRIu64 " numbers, counted %" PRIu64
                       " and emitted %" PRIu64,
                       actor, applied, node->applied, node->emitted);
    return 0;
}

static int check_tokens(struct mesh *mesh, const struct node nodes[MESH_ACTORS])
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < MESH_ACTORS; i++) {
        sum += nodes[i].balance;
        for (uint32_t j = 0; j < MESH_ACTORS; j++)
            if (nodes[i].told[j] != nodes[j].heard[i])
                return violate(&mesh->verdict,
                               "G1: actor %u told actor %u %" PRIu64
                               " times and was heard %" PRIu64,
                               i, j, nodes[i].told[j], nodes[j].heard[i]);
    }
    return sum ? violate(&mesh->verdict, "G1: the balances add up to %" PRId64, sum) : 0;
}

static int check_feeds(struct mesh *mesh, const struct node nodes[MESH_ACTORS],
                       sf_source *const *sources)
{
    for (uint32_t p = 0; p < MESH_PARTITIONS; p++) {
        uint64_t position = sf_source_position(sources[p]), count = 0, sum = 0;
        for (uint32_t i = 0; i < MESH_ACTORS; i++) {
            count += nodes[i].fed[p];
            sum += nodes[i].fed_sum[p];
        }
        if (count != position || sum != position * (position + 1) / 2)
            return violate(&mesh->verdict,
                           "G3: partition %u is at %" PRIu64 ", and %" PRIu64
                           " records counted, sum %" PRIu64,
                           p, position, count, sum);
    }
    return 0;
}


/* Once nothing is under way, every account must balance. */
static int check(struct run *run, sf_view *view)
{
    struct mesh *mesh = run->mesh;
    struct node *nodes = calloc(MESH_ACTORS, sizeof *nodes);
    unsigned char (*dead)[MESH_NUMBERS + 1] = calloc(MESH_ACTORS, sizeof *dead);
    uint64_t emitted = 0;
    int rc = nodes && dead ? 0 : -1;
    mesh->counts.acked = mesh->counts.applied = mesh->counts.dead = 0;
    if (rc == 0)
        rc = read_nodes(mesh, view, nodes);
    if (rc == 0)
        rc = mesh_read_dead(mesh, view, dead) < 0 ? -1 : 0;
    for (uint32_t i = 0; rc == 0 && i < MESH_ACTORS; i++) {
        rc = check_messages(mesh, &nodes[i], i, dead[i]);
        emitted += nodes[i].emitted;
    }
    if (rc == 0)
        rc = check_tokens(mesh, nodes);
    if (rc == 0)
        rc = check_feeds(mesh, nodes, run->sources);
    if (rc == 0 && emitted != atomic_load(&mesh->model.delivered))
        rc = violate(&mesh->verdict, "G5: %" PRIu64 " records emitted, %" PRIu64 " delivered",
                     emitted, atomic_load(&mesh->model.delivered));
    free(dead);
    free(nodes);
    return rc;
}

/* In relaxed mode records and positions come out a little later than all else. */
static int is_safe(struct run *run, sf_view *view)
{
    struct node nodes[MESH_ACTORS];
    uint64_t emitted = 0, fed = 0, positions = 0;
    if (read_nodes(run->mesh, view, nodes) < 0)
        return -1;
    for (uint32_t i = 0; i < MESH_ACTORS; i++) {
        emitted += nodes[i].emitted;
        for (uint32_t p = 0; p < MESH_PARTITIONS; p++)
            fed += nodes[i].fed[p];
    }
    for (uint32_t p = 0; p < MESH_PARTITIONS; p++)
        positions += sf_source_position(run->sources[p]);
    return emitted <= atomic_load(&run->mesh->model.delivered) && fed <= positions;
}

static int look(struct run *run, sf_view *view)
{
    struct node *nodes = calloc(MESH_ACTORS, sizeof *nodes);
    int rc = nodes ? 0 : -1;
    if (rc == 0)
        rc = read_nodes(run->mesh, view, nodes);
    if (rc == 0)
        rc = check_delivered(run->mesh, nodes);
    free(nodes);
    return rc;
}

/* -- from outside ------------------------------------------------------------------------------ */

/* Half of the time the sink says what it holds, else it gets some of it again. */
static int open_sink(struct run *run)
{
    struct mesh *mesh = run->mesh;
    if (mesh_is_planted(mesh, "forgetful-sink"))
        atomic_store(&mesh->model.delivered, 0);
    if (sf_egress_register(run->rt, OUT, sink_take, mesh) < 0)
        return mesh_unexpected(run, "register the sink");
    if (dice_below(&run->dice, 2) &&
        sf_egress_ack(run->rt, OUT, atomic_load(&mesh->model.delivered)) < 0)
        return mesh_unexpected(run, "acknowledge what the sink holds");
    return 0;
}

static int send_order(struct lane *lane, uint32_t actor, uint32_t number)
{
    struct run *run = lane->run;
    struct mesh_order order = {number, run->mesh->run};
    int64_t ticket;
    MESH_GIVE(ticket, run, sf_send(run->rt, mesh_node(actor), "order", SF_OF(order)), "send");
    _Atomic uint8_t *acked = &run->mesh->model.acked[actor][number];
    if (mesh_is_planted(run->mesh, "early-ack"))
        atomic_store(acked, 1);
    return mesh_owe(lane, ticket, acked);
}

static int resend(struct lane *lane)
{
    struct mesh_model *model = &lane->run->mesh->model;
    for (uint32_t i = lane->parity; i < MESH_ACTORS; i += lane->lanes)
        for (uint32_t k = 1; k <= atomic_load(&model->sent[i]); k++)
            if (!atomic_load(&model->acked[i][k]) && send_order(lane, i, k) < 0)
                return -1;
    return 0;
}

static int send_next(struct lane *lane)
{
    struct mesh_model *model = &lane->run->mesh->model;
    uint32_t actor = mesh_pick(lane, MESH_ACTORS);
    uint32_t number = atomic_load(&model->sent[actor]) + 1;
    if (lane->round == 0 && mesh_is_planted(lane->run->mesh, "resend") && resend(lane) < 0)
        return -1;
    if (number > MESH_NUMBERS)
        return 0;
    atomic_store(&model->sent[actor], number); /* before: it may be accepted from now on */
    return send_order(lane, actor, number);
}

const struct mesh_part mesh_orders = {.name = "orders",
                                      .types = {&mesh_node_type},
                                      .one_in = 1,
                                      .act = send_next,
                                      .look = look,
                                      .open = open_sink,
                                      .is_safe = is_safe,
                                      .check = check};

static int open_sources(struct run *run)
{
    struct mesh *mesh = run->mesh;
    char name[32] = "feed";
    if (mesh_is_planted(mesh, "no-position"))
        snprintf(name, sizeof name, "feed%u", mesh->run);
    for (uint32_t p = 0; p < MESH_PARTITIONS; p++) {
        if (sf_source_open(run->rt, name, p, &run->sources[p]) < 0)
            return mesh_unexpected(run, "open source");
        uint64_t found = sf_source_position(run->sources[p]),
                 seen = atomic_load(&mesh->model.position[p]);
        if (found < seen)
            return violate(&mesh->verdict, "G2: partition %u was at %" PRIu64 " and is at %" PRIu64,
                           p, seen, found);
        run->fed[p] = found;
    }
    return 0;
}

static int feed_next(struct lane *lane)
{
    struct run *run = lane->run;
    uint32_t partition = lane->parity % MESH_PARTITIONS;
    struct feed feed = {run->fed[partition] + 1, partition, 0};
    sf_source *source = run->sources[partition];
    int rc;
    if (feed.position > MESH_NUMBERS * 4)
        return 0;
    (void)sf_source_send(source, mesh_node((uint32_t)mix64(feed.position) % MESH_ACTORS), "feed",
                         SF_OF(feed));
    MESH_GIVE(rc, run, sf_source_advance(source, feed.position), "advance");
    run->fed[partition] = feed.position;
    uint64_t durable = sf_source_position(source);
    if (!mesh_is_planted(run->mesh, "no-position"))
        atomic_store(&run->mesh->model.position[partition], durable);
    return 0;
}

const struct mesh_part mesh_feeds = {
    .name = "feeds", .one_in = 3, .act = feed_next, .open = open_sources};
