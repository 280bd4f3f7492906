/* mesh_dead.c - dead letters of nodes are sent again, dropped, and evicted.
 *
 *   G9  a letter is there until it is dropped, sent again or evicted, each as a whole: once the
 *       ticket is durable it is gone, and a number is nowhere twice.  Nobody evicts one of the
 *       newest `most`; at rest there are no more than that, and the statistics count them.
 *
 * A letter that is sent again dies again, unless its number was "cured" before: then the node takes
 * it.  "Asked" is noted before the call; "promised" once its ticket is durable. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "support/mesh_part.h"

static const uint32_t NO_BOUND = UINT32_MAX;

uint64_t mesh_dead_max(struct run *run)
{
    static const uint32_t bounds[] = {NO_BOUND, NO_BOUND, 8, 60};
    struct mesh_dead *model = &run->mesh->model.dead;
    if (model->most == 0)
        model->most = bounds[mesh_is_planted(run->mesh, "greedy-eviction")
                                 ? 2
                                 : dice_below(&run->dice, 4)];
    return model->most == NO_BOUND                             ? 0
           : mesh_is_planted(run->mesh, "greedy-eviction") ? model->most / 2
                                                               : model->most;
}

/* Did so many younger ones come that it may have had to go? */
static int may_be_evicted(const struct mesh_dead *model, uint64_t sequence)
{
    return model->most != NO_BOUND && atomic_load(&model->top) >= sequence + model->most;
}

int mesh_may_be_away(const struct mesh *mesh, uint32_t actor, uint32_t number)
{
    return atomic_load(&mesh->model.dead.dropped[actor][number]) ||
           may_be_evicted(&mesh->model.dead, 1);
}

static void note_top(struct mesh_dead *model, uint64_t sequence)
{
    uint64_t top = atomic_load(&model->top);
    while (top < sequence && !atomic_compare_exchange_weak(&model->top, &top, sequence))
        ;
}

/* -- which are there --------------------------------------------------------------------------- */

static int check_letter(struct mesh *mesh, const sf_message *letter, struct mesh_order *order)
{
    uint32_t actor = mesh_node_number(letter->to);
    if (letter->sequence > MESH_LETTERS || letter->body.size != sizeof *order ||
        actor >= MESH_ACTORS)
        return violate(&mesh->verdict, "G9: a strange dead letter: %s", letter->reason);
    memcpy(order, letter->body.data, sizeof *order);
    if (order->number == 0 || order->number > MESH_NUMBERS || !mesh_is_poison(actor, order->number))
        return violate(&mesh->verdict, "G3: number %u of actor %u is a dead letter: %s",
                       order->number, actor, letter->reason);
    if (atomic_load(&mesh->model.dead.promised[letter->sequence]))
        return violate(&mesh->verdict, "G9: dead letter %" PRIu64 " was taken away and is there",
                       letter->sequence);
    return 0;
}

static int check_holes(struct mesh *mesh, const unsigned char *present)
{
    const struct mesh_dead *model = &mesh->model.dead;
    for (uint64_t s = 1; s <= atomic_load(&model->top); s++)
        if (!present[s] && !atomic_load(&model->asked[s]) && !may_be_evicted(model, s))
            return violate(&mesh->verdict, "G9: dead letter %" PRIu64 " of %" PRIu64 " is missing",
                           s, atomic_load(&model->top));
    return 0;
}

int64_t mesh_read_dead(struct mesh *mesh, sf_view *view, unsigned char (*dead)[MESH_NUMBERS + 1])
{
    static unsigned char present[MESH_LETTERS + 1];
    int64_t count = 0;
    uint64_t last = 0;
    memset(present, 0, sizeof present);
    for (const sf_message *letter; (letter = sf_view_dead(view, last)); count++) {
        struct mesh_order order;
        if (check_letter(mesh, letter, &order) < 0)
            return -1;
        last = letter->sequence;
        present[last] = 1;
        if (dead[mesh_node_number(letter->to)][order.number]++)
            return violate(&mesh->verdict, "G9: number %u of actor %u is a dead letter twice",
                           order.number, mesh_node_number(letter->to));
    }
    note_top(&mesh->model.dead, last);
    return check_holes(mesh, present) < 0 ? -1 : count;
}

static int64_t count_letters(struct run *run, sf_view *view)
{
    unsigned char (*dead)[MESH_NUMBERS + 1] = calloc(MESH_ACTORS, sizeof *dead);
    int64_t count = dead ? mesh_read_dead(run->mesh, view, dead) : -1;
    free(dead);
    return count;
}

static int look(struct run *run, sf_view *view)
{
    return count_letters(run, view) < 0 ? -1 : 0;
}

static int check(struct run *run, sf_view *view)
{
    struct mesh *mesh = run->mesh;
    sf_stats stats = {.size = sizeof stats};
    int64_t count = count_letters(run, view);
    if (count < 0)
        return -1;
    if (mesh->model.dead.most != NO_BOUND && count > (int64_t)mesh->model.dead.most)
        return violate(&mesh->verdict, "G9: %" PRId64 " dead letters, %u are the most", count,
                       mesh->model.dead.most);
    if (sf_stats_get(run->rt, &stats) < 0)
        return mesh_unexpected(run, "statistics");
    return stats.dead_kept == (uint64_t)count
               ? 0
               : violate(&mesh->verdict, "G9: %" PRId64 " dead letters, counted %" PRIu64, count,
                         stats.dead_kept);
}

/* -- taken away -------------------------------------------------------------------------------- */

struct letter {
    uint64_t sequence;
    uint32_t actor, number;
};

/* One that is on disk now, and perhaps another lane's.  1, 0: there is none, or -1. */
static int pick(struct lane *lane, struct letter *out)
{
    struct mesh_dead *model = &lane->run->mesh->model.dead;
    struct mesh_order order;
    sf_view *view;
    if (mesh_open_view(lane->run, &view) < 0)
        return -1;
    const sf_message *letter = sf_view_dead(view, dice_below(&lane->dice, atomic_load(&model->top) + 1));
    int rc = letter != NULL;
    if (letter && (rc = check_letter(lane->run->mesh, letter, &order)) == 0) {
        *out = (struct letter){letter->sequence, mesh_node_number(letter->to), order.number};
        note_top(model, letter->sequence);
        rc = 1;
    }
    sf_view_close(view);
    return rc;
}

/* It may be gone by now: then nothing happens.  Its ticket, 0, or -1. */
static int64_t take_away(struct run *run, uint64_t sequence, int drops)
{
    for (;;) {
        int64_t rc =
            drops ? sf_dead_drop(run->rt, sequence) : sf_dead_resend(run->rt, sequence);
        if (rc > 0)
            return rc;
        if (rc == SF_ENOTFOUND)
            return 0;
        if (mesh_wait_for_room(run, (int)rc, drops ? "drop" : "resend") < 0)
            return -1;
    }
}

static void note_asked(struct lane *lane, const struct letter *letter, int drops)
{
    struct mesh_dead *model = &lane->run->mesh->model.dead;
    if (mesh_is_planted(lane->run->mesh, "unasked-drop") && drops)
        return;
    atomic_store(&model->asked[letter->sequence], 1);
    if (drops)
        atomic_store(&model->dropped[letter->actor][letter->number], 1);
    else if (dice_below(&lane->dice, 2))
        atomic_store(&model->cured[letter->actor][letter->number], 1);
}

static int act(struct lane *lane)
{
    struct run *run = lane->run;
    struct mesh_dead *model = &run->mesh->model.dead;
    struct letter letter = {0};
    int rc = pick(lane, &letter), drops = (int)dice_below(&lane->dice, 3) == 0;
    if (rc <= 0)
        return rc;
    note_asked(lane, &letter, drops);
    int64_t ticket = take_away(run, letter.sequence, drops);
    if (ticket > 0 && mesh_is_planted(run->mesh, "double-resend") && !drops) {
        struct mesh_order again = {letter.number, run->mesh->run};
        ticket = sf_send(run->rt, mesh_node(letter.actor), "order", SF_OF(again));
    }
    return ticket > 0 ? mesh_owe(lane, ticket, &model->promised[letter.sequence]) : (int)ticket;
}

const struct mesh_part mesh_letters = {
    .name = "dead letters", .one_in = 64, .act = act, .look = look, .check = check};
