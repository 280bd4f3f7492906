#include "run/starting.h"

#include <string.h>

#include "base/err.h"
#include "run/runtime.h"

enum { OPERATION_BYTES = 256 /* what one takes beside its request, about */, LIMIT_WAIT_MS = 50 };

static struct sfi_work *work_of(struct sf_turn *turn)
{
    return &turn->rt->turns.work;
}

/* -- staged ------------------------------------------------------------------------------------ */

static int check_count(struct sfi_work *work)
{
    const struct sfi_operations *operations = &work->rt->operations;
    if (operations->count + work->started < operations->max)
        return 0;
    work->full = NULL;
    work->wait_ms = LIMIT_WAIT_MS;
    sfi_work_doom(work, SFI_WAIT, SF_EAGAIN, "%llu operations are under way, as operations_max says",
                  (unsigned long long)operations->max);
    return sfi_work_error(work);
}

/* Of this turn.  NULL: no memory. */
static struct sfi_starter *starter_of(struct sf_turn *turn)
{
    struct sfi_work *work = work_of(turn);
    if (turn->starter)
        return turn->starter;
    struct sfi_starter *starter = sfi_arena_alloc(&work->arena, sizeof *starter);
    if (!starter)
        return NULL;
    *starter = (struct sfi_starter){.next = work->starters, .actor = turn->actor};
    work->starters = turn->starter = starter;
    return starter;
}

static sf_bytes keep(struct sfi_work *work, sf_bytes bytes)
{
    const void *copy = bytes.data ? sfi_arena_copy(&work->arena, bytes.data, bytes.size) : NULL;
    return SF_BYTES(copy, copy ? bytes.size : 0);
}

/* An answer comes from whom this turn's message came. */
static int fill_row(struct sf_turn *turn, const char *kind, sf_bytes request,
                    struct sfi_operation_row *row)
{
    struct sfi_work *work = work_of(turn);
    const sf_address *from = &turn->view.from;
    const struct sfi_type *type = from->type ? sfi_types_find(&turn->rt->types, from->type) : NULL;
    *row = (struct sfi_operation_row){.owner_type = turn->actor->type->number,
                                      .owner_id = SF_BYTES(turn->actor->id, turn->actor->id_size),
                                      .from_type = type ? type->number : 0,
                                      .kind = keep(work, sf_str(kind)),
                                      .request = keep(work, request)};
    if (!type && from->id.size == sizeof row->ask)
        memcpy(&row->ask, from->id.data, sizeof row->ask);
    if (type)
        row->from_id = keep(work, from->id);
    return row->kind.data && (row->request.data || !request.data) &&
                   (row->from_id.data || !type)
               ? 0
               : sfi_work_no_memory(work);
}

/* What the gate is to let out. */
static int stage_job(struct sf_turn *turn, enum sfi_start how, sf_async_fn *function, uint64_t id,
                     sf_bytes request)
{
    struct sfi_job *job = sfi_job_new(turn->rt->sys, request);
    if (!job)
        return sfi_work_no_memory(work_of(turn));
    job->effect.kind = &sfi_job_effect;
    job->op = (sf_async){turn->rt, id};
    job->function = function;
    job->userdata = turn->actor->type->userdata;
    job->is_work = how == SFI_WORK;
    sfi_effects_push(&work_of(turn)->effects, &job->effect);
    return 0;
}

/* Linked when it is whole. */
static void link_started(struct sfi_work *work, struct sfi_starter *starter,
                         struct sfi_started *started)
{
    *(starter->last ? &starter->last->next : &starter->first) = started;
    starter->last = started;
    starter->count++;
    work->started++;
}

static struct sfi_started *stage(struct sf_turn *turn, const char *kind, sf_bytes request)
{
    struct sfi_work *work = work_of(turn);
    struct sfi_starter *starter = starter_of(turn);
    struct sfi_started *started = sfi_arena_alloc(&work->arena, sizeof *started);
    struct sfi_operation *entry = sfi_zalloc(turn->rt->sys, sizeof *entry);
    if (!starter || !started || !entry) {
        sfi_free(turn->rt->sys, entry);
        sfi_work_no_memory(work);
        return NULL;
    }
    *started = (struct sfi_started){.entry = entry};
    link_started(work, starter, started);
    entry->id = started->id = turn->rt->operations.next++;
    entry->owner = sfi_actors_hash(&turn->rt->actors, turn->actor->type, turn->actor->id,
                                   turn->actor->id_size);
    return fill_row(turn, kind, request, &started->row) < 0 ? NULL : started;
}

uint64_t sfi_starting_add(struct sf_turn *turn, enum sfi_start how, sf_async_fn *function,
                          const char *kind, sf_bytes request)
{
    struct sfi_work *work = work_of(turn);
    if (check_count(work) < 0 || sfi_work_charge(work, request.size + OPERATION_BYTES) < 0)
        return 0;
    struct sfi_started *started = stage(turn, kind, request);
    if (!started)
        return 0;
    work->sent_bytes += request.size + OPERATION_BYTES;
    started->row.is_promise = how == SFI_OPEN;
    if (how != SFI_OPEN && stage_job(turn, how, function, started->id, request) < 0)
        return 0;
    return started->id;
}

/* -- finished ---------------------------------------------------------------------------------- */

#define FOR_EACH_STARTED(work, starter, started)                                                   \
    for (struct sfi_starter *starter = (work)->starters; starter; starter = starter->next)         \
        for (struct sfi_started *started = starter->first; started; started = started->next)

int sfi_starting_save(struct sfi_work *work)
{
    FOR_EACH_STARTED (work, starter, started) {
        started->row.is_awaited = starter->awaits;
        if (started->has_limit)
            started->row.until_ms = sfi_work_now_ms(work) + started->limit_ms;
        if (sfi_operation_save(started->id, &started->row, sfi_work_batch(work)) < 0)
            return sfi_work_no_memory(work);
    }
    return 0;
}

static void withdraw_all(struct sfi_work *work)
{
    FOR_EACH_STARTED (work, starter, started) {
        if (started->is_entered)
            sfi_operations_withdraw(work->rt, started->entry);
        started->is_entered = 0;
    }
}

int sfi_starting_enter(struct sfi_work *work)
{
    FOR_EACH_STARTED (work, starter, started) {
        uint64_t until_ns =
            started->has_limit ? sfi_operations_due_ns(work->rt, started->limit_ms) : 0;
        if (sfi_operations_enter(work->rt, started->entry, until_ns) < 0) {
            withdraw_all(work);
            return sfi_work_no_memory(work);
        }
        started->is_entered = 1;
    }
    return 0;
}

void sfi_starting_undo(struct sfi_work *work)
{
    FOR_EACH_STARTED (work, starter, started)
        sfi_free(work->rt->sys, started->entry);
}
