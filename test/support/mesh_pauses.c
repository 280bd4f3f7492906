/* mesh_pauses.c - nodes, and whole types, are paused and resumed.
 *
 *   G6  no turn runs of who is paused, or whose type is, in whatever life
 *
 * "Paused" is noted when its ticket is durable, and gone before sf_resume() is called. */
#include "support/mesh_part.h"

static const sf_type *const types[MESH_PAUSED_TYPES] = {&mesh_node_type, &mesh_caller_type};

void mesh_check_type_awake(struct mesh *mesh, const sf_type *type)
{
    for (int i = 0; i < MESH_PAUSED_TYPES; i++)
        if (types[i] == type && atomic_load(&mesh->model.paused_types[i]))
            violate(&mesh->verdict, "G6: type %s is paused and had a turn", type->name);
}

void mesh_check_awake(struct mesh *mesh, uint32_t node)
{
    if (atomic_load(&mesh->model.paused[node]))
        violate(&mesh->verdict, "G6: actor %u is paused and had a turn", node);
    mesh_check_type_awake(mesh, &mesh_node_type);
}

/* Planted: takes for durable what is only accepted, or not even that. */
static int plant_pause(struct lane *lane, sf_address whom, _Atomic uint8_t *paused)
{
    atomic_store(paused, 1);
    if (dice_below(&lane->dice, 2))
        return 0;
    int64_t ticket;
    MESH_GIVE(ticket, lane->run, sf_pause(lane->run->rt, whom, "too early"), "pause");
    return 0;
}

static int pause(struct lane *lane, sf_address whom, _Atomic uint8_t *paused, const char *plant)
{
    struct run *run = lane->run;
    int64_t ticket;
    if (mesh_is_planted(run->mesh, plant))
        return plant_pause(lane, whom, paused);
    MESH_GIVE(ticket, run, sf_pause(run->rt, whom, "the mesh says so"), "pause");
    if (mesh_wait(run, ticket) < 0)
        return -1;
    atomic_store(paused, 1);
    return 0;
}

static int resume(struct run *run, sf_address whom, _Atomic uint8_t *paused)
{
    int64_t ticket;
    atomic_store(paused, 0);
    MESH_GIVE(ticket, run, sf_resume(run->rt, whom), "resume");
    return 0;
}

static sf_address all_of(int type)
{
    return (sf_address){.type = types[type]->name};
}

/* One lane's business, the first one's. */
static int act_on_type(struct lane *lane)
{
    int type = (int)dice_below(&lane->dice, MESH_PAUSED_TYPES);
    _Atomic uint8_t *paused = &lane->run->mesh->model.paused_types[type];
    return dice_below(&lane->dice, 3) == 0
               ? pause(lane, all_of(type), paused, "early-type-pause")
               : resume(lane->run, all_of(type), paused);
}

static int act(struct lane *lane)
{
    uint32_t node = mesh_pick(lane, MESH_ACTORS);
    _Atomic uint8_t *paused = &lane->run->mesh->model.paused[node];
    if (lane->parity == 0 && dice_below(&lane->dice, 2))
        return act_on_type(lane);
    return dice_below(&lane->dice, 3) == 0
               ? pause(lane, mesh_node(node), paused, "early-pause")
               : resume(lane->run, mesh_node(node), paused);
}

static int calm(struct run *run)
{
    for (uint32_t i = 0; i < MESH_ACTORS; i++)
        if (resume(run, mesh_node(i), &run->mesh->model.paused[i]) < 0)
            return -1;
    for (int i = 0; i < MESH_PAUSED_TYPES; i++)
        if (resume(run, all_of(i), &run->mesh->model.paused_types[i]) < 0)
            return -1;
    return 0;
}

const struct mesh_part mesh_pauses = {.name = "pauses", .one_in = 32, .act = act, .calm = calm};
