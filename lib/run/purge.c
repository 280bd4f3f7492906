/* purge.c - sf_purge() as a command: an actor as if it had never been.
 *
 * (1) State: the actor comes into memory, emptied, and sealing deletes every row that its type can have; so a
 *     turn in the same epoch finds zeroes too, whatever is durable still.
 * (2) Messages: whatever has a sequence below the next one is dropped where it is met: in the run queue, behind
 *     its hold, or coming back from table parked.  A hold says so, durably, until none is left (hold.h).
 * (3) Timers: what is on its way finds itself in no schedule any more (schedule.h: 5).
 * (4) Rows of its maps and lists: promises say that they are garbage (actor/collection.h).
 * (5) Operations: their rows go, so that answers meet nothing; and what stood behind them.
 * (6) What can fail comes first: the place in memory, promises, timers, operations, then the hold; all of it a work. */
#include "actor/collection.h"
#include "base/err.h"
#include "run/command.h"
#include "run/runtime.h"
#include "run/schedule.h"

/* A schedule that cannot be read goes too. */
static int forget_timers(sf_runtime *rt, struct sfi_actor *actor)
{
    int rc = sfi_schedule_forget(&rt->turns.work, actor);
    return rc == SF_ECORRUPT ? 0 : rc;
}

static int erase_operations(sf_runtime *rt, const struct sfi_whom *whom, struct sfi_batch *batch)
{
    struct sfi_awaited awaited = sfi_hold_awaited(sfi_holds_find(&rt->mailbox.holds, whom));
    uint32_t count;
    int rc = sfi_operations_erase(rt, whom, batch, &count);
    return rc < 0 ? rc : sfi_kept_erase(awaited.operation, awaited.kept, batch);
}

static int execute(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_whom whom = {.type = command->type, .id = command->id, .id_size = command->id_size};
    whom.hash = sfi_actors_hash(&rt->actors, whom.type, whom.id, whom.id_size);
    struct sfi_actor *actor =
        sfi_actors_get(&rt->actors, whom.type, whom.hash, whom.id, whom.id_size);
    if (!actor)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_work_begin(&rt->turns.work);
    int rc = sfi_collections_drop(&rt->actors, rt->store, actor, sfi_work_batch(&rt->turns.work));
    if (rc == 0)
        rc = forget_timers(rt, actor);
    if (rc == 0)
        rc = erase_operations(rt, &whom, sfi_work_batch(&rt->turns.work));
    if (rc == 0)
        rc = sfi_hold_purge(&rt->mailbox.holds, sfi_work_batch(&rt->turns.work), &whom,
                            rt->mailbox.next_sequence);
    if (rc < 0) {
        sfi_work_undo(&rt->turns.work);
        sfi_operations_keep(rt, &whom);
        return rc;
    }
    sfi_work_keep(&rt->turns.work);
    sfi_operations_drop(rt, &whom);
    sfi_actor_purge(&rt->actors, actor);
    return 0;
}

const struct sfi_verb sfi_verb_purge = {"purge", SFI_RELIEF, execute};
