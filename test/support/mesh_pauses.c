/* mesh_pauses.c - nodes are paused and resumed.
 *
 *   G6  no turn of an actor runs while it is paused, in whatever life
 *
 * "Paused" is noted when its ticket is durable, and gone before sf_resume() is called. */
#include "support/mesh_part.h"

void mesh_check_awake(struct mesh *mesh, uint32_t node)
{
    if (atomic_load(&mesh->model.paused[node]))
        violate(&mesh->verdict, "G6: actor %u is paused and had a turn", node);
}

static int pause_actor(struct run *run, uint32_t actor)
{
    int64_t ticket;
    MESH_GIVE(ticket, run, sf_pause(run->rt, mesh_node(actor), "the mesh says so"), "pause");
    if (mesh_is_planted(run->mesh, "early-pause"))
        atomic_store(&run->mesh->model.paused[actor], 1);
    if (mesh_wait(run, ticket) < 0)
        return -1;
    atomic_store(&run->mesh->model.paused[actor], 1);
    return 0;
}

static int resume_actor(struct run *run, uint32_t actor)
{
    int64_t ticket;
    atomic_store(&run->mesh->model.paused[actor], 0);
    MESH_GIVE(ticket, run, sf_resume(run->rt, mesh_node(actor)), "resume");
    return 0;
}

static int act(struct lane *lane)
{
    uint32_t actor = mesh_pick(lane, MESH_ACTORS);
    return dice_below(&lane->dice, 3) ? resume_actor(lane->run, actor)
                                      : pause_actor(lane->run, actor);
}

static int calm(struct run *run)
{
    for (uint32_t i = 0; i < MESH_ACTORS; i++)
        if (resume_actor(run, i) < 0)
            return -1;
    return 0;
}

const struct mesh_part mesh_pauses = {.name = "pauses", .one_in = 64, .act = act, .calm = calm};
