#include "run/call.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/runtime.h"
#include "run/starting.h"

enum { CALL_BYTES = 256 /* what a call takes beside its body, about */ };

static struct sfi_work *work_of(struct sf_turn *turn)
{
    return &turn->rt->turns.work;
}

const sf_message sfi_no_answer = {
    .to = {NULL, {"", 0}}, .from = {NULL, {"", 0}}, .kind = "", .reason = ""};

int sfi_call_answer(struct sf_turn *turn, const char *kind, sf_bytes body)
{
    struct sfi_work *work = work_of(turn);
    if (turn->answer)
        return 0;
    sf_message *answer = sfi_arena_alloc(&work->arena, sizeof *answer);
    char *copy = sfi_arena_copy(&work->arena, kind, strlen(kind));
    void *data = body.data ? sfi_arena_copy(&work->arena, body.data, body.size) : NULL;
    if (!answer || !copy || (body.data && !data))
        return sfi_work_no_memory(work);
    *answer = (sf_message){.to = turn->view.from,
                           .from = turn->view.to,
                           .kind = copy,
                           .body = body.data ? SF_BYTES(data, body.size) : SF_NONE,
                           .attempt = 1,
                           .reason = ""};
    turn->answer = answer;
    return sfi_work_charge(work, sizeof *answer + body.size);
}

/* Its hold begins when the work is kept. */
static int awaits_already(const struct sfi_work *work, const struct sfi_actor *actor)
{
    const struct sfi_starter *starter = work->starters;
    while (starter && (starter->actor != actor || !starter->awaits))
        starter = starter->next;
    return starter != NULL;
}

/* Who is called, with room to be changed.  NULL: the work is doomed. */
static struct sfi_actor *find_callee(struct sf_turn *turn, const struct sfi_whom *whom)
{
    sf_runtime *rt = turn->rt;
    struct sfi_work *work = &rt->turns.work;
    if (rt->turns.depth == SFI_DEPTH_MAX) {
        sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "calls are nested deeper than %d",
                      SFI_DEPTH_MAX);
        return NULL;
    }
    struct sfi_actor *actor = NULL;
    if (sfi_actors_reserve(&rt->actors, rt->turns.met) == 0)
        actor = sfi_actors_get(&rt->actors, whom->type, whom->hash, whom->id, whom->id_size);
    if (!actor) {
        sfi_work_no_memory(work);
        return NULL;
    }
    rt->turns.met++;
    if (awaits_already(work, actor)) {
        sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "%s %.*s awaits since it was called before",
                      whom->type->name, (int)whom->id_size, whom->id);
        return NULL;
    }
    if (!actor->busy)
        return actor;
    sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "%s %.*s was called in the middle of its own turn",
                  whom->type->name, (int)whom->id_size, whom->id);
    return NULL;
}

/* As long as the callee has been held, so that few ask in vain of one that is held for long. */
static uint64_t held_ms(const sf_runtime *rt, const struct sfi_hold *hold,
                        const struct sfi_hold *all)
{
    uint64_t now_ms = rt->sys->wall_ms(rt->sys->ctx), since_ms = 0;
    if (hold && hold->why)
        since_ms = hold->why->since_ms;
    if (all && all->why && all->why->since_ms > since_ms)
        since_ms = all->why->since_ms;
    return since_ms < now_ms ? now_ms - since_ms : 0;
}

/* A pause must mean it, so a call does not go around it; a back-off it may overtake. */
static int check_hold(struct sf_turn *turn, const struct sfi_whom *whom)
{
    const struct sfi_hold *hold = sfi_holds_find(&turn->rt->mailbox.holds, whom),
                          *all = whom->type->hold;
    uint32_t reasons = (hold ? hold->reasons : 0u) | (all ? all->reasons : 0u);
    if (!(reasons & SFI_HELD_BLOCKS & ~(uint32_t)SFI_HELD_BACKOFF))
        return 0;
    work_of(turn)->full = NULL;
    work_of(turn)->wait_ms = held_ms(turn->rt, hold, all);
    sfi_work_doom(work_of(turn), SFI_WAIT, SF_EAGAIN, "%s %.*s is held and cannot be called",
                  whom->type->name, (int)whom->id_size, whom->id);
    return SF_EAGAIN;
}

/* What the inner turn sees, in the work's memory. */
static int make_view(struct sf_turn *turn, const struct sfi_actor *callee, const char *kind,
                     sf_bytes body, sf_message *out)
{
    struct sfi_work *work = work_of(turn);
    char *copy = sfi_arena_copy(&work->arena, kind, strlen(kind));
    void *data = body.data ? sfi_arena_copy(&work->arena, body.data, body.size) : NULL;
    if (!copy || (body.data && !data))
        return sfi_work_no_memory(work);
    *out = (sf_message){.to = sfi_actor_address(callee),
                        .from = sfi_actor_address(turn->actor),
                        .kind = copy,
                        .body = body.data ? SF_BYTES(data, body.size) : SF_NONE,
                        .attempt = turn->view.attempt,
                        .reason = ""};
    size_t struct_bytes = callee->copied ? 0 : 2 * callee->type->desc.state_size; /* and its copy */
    return sfi_work_charge(work, body.size + CALL_BYTES + struct_bytes);
}

/* An exception goes through: the inner handler is left, and the one that called may catch it. */
struct nested {
    struct sfi_turns *turns;
    int depth, returned;
};

static void end_nested(struct nested *nested)
{
    if (!nested->returned)
        sfi_work_doom(&nested->turns->work, SFI_FAIL, SF_EFAILED,
                      "the handler of a call was left by an exception");
    sfi_turn_leave(nested->turns, nested->depth);
}

/* Whose fault it was, in front of the reason; not the callers in between. */
static void name_failure(struct sfi_work *work, const struct sf_turn *inner)
{
    char reason[SFI_REASON_MAX];
    if (work->is_named)
        return;
    work->is_named = 1;
    memcpy(reason, work->reason, sizeof reason);
    snprintf(work->reason, sizeof work->reason, "%s %.*s: %.150s", inner->actor->type->name,
             (int)inner->actor->id_size, inner->actor->id, reason);
}

static const sf_message *run_nested(struct sf_turn *turn, struct sfi_actor *actor,
                                    const sf_message *view)
{
    struct sfi_turns *turns = &turn->rt->turns;
    struct nested nested __attribute__((cleanup(end_nested))) = {turns, turns->depth, 0};
    struct sf_turn *inner = sfi_turn_enter(turns, actor);
    inner->view = *view;
    inner->kind_size = strlen(view->kind);
    sfi_turn_call_handler(inner);
    nested.returned = 1;
    if (turns->work.verdict != SFI_KEEP)
        name_failure(&turns->work, inner);
    return turns->work.verdict == SFI_KEEP && inner->answer ? inner->answer : &sfi_no_answer;
}

const sf_message *sfi_call(struct sf_turn *turn, struct sfi_type *type, sf_address to,
                           const char *kind, sf_bytes body)
{
    struct sfi_whom whom = {.type = type,
                            .hash =
                                sfi_actors_hash(&turn->rt->actors, type, to.id.data, to.id.size),
                            .id = to.id.data,
                            .id_size = to.id.size};
    sf_message view;
    if (check_hold(turn, &whom) < 0)
        return &sfi_no_answer;
    struct sfi_actor *actor = find_callee(turn, &whom);
    if (!actor || make_view(turn, actor, kind, body, &view) < 0)
        return &sfi_no_answer;
    return run_nested(turn, actor, &view);
}
