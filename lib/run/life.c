#include "run/life.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "lmdb/store.h"
#include "run/delivery.h"
#include "run/drive.h"
#include "run/options.h"
#include "run/part.h"
#include "run/recover.h"
#include "run/runtime.h"

static sf_runtime *runtime_new(const struct sfi_sys *sys, const sf_options *options)
{
    sf_runtime *rt = sfi_zalloc(sys, sizeof *rt);
    if (!rt)
        return NULL;
    rt->sys = sys;
    rt->payload_max = options->payload_max;
    rt->epoch_turns_max = options->epoch_turns_max;
    rt->ceiling.bytes_max = options->store_bytes_max;
    rt->commit_inline = options->commit_inline;
    rt->careful.crashes_max = options->crashes_max;
    rt->tidy_ns = options->commit_inline; /* what an earlier run left, at once */
    rt->poll = (struct sfi_poll){.fd = -1, .event_fd = -1, .timer_fd = -1};
    rt->turns.work.rt = rt; /* so that a half-built runtime can be dropped */
    pthread_mutex_init(&rt->lock, NULL);
    sfi_drive_init(&rt->drive);
    sfi_inbox_init(&rt->inbox, options->inbox_bytes_max, options->inbox_ms_max);
    sfi_crowd_init(&rt->crowd, sys);
    sfi_asks_init(&rt->asks, sys);
    sfi_types_init(&rt->types, sys);
    sfi_positions_init(&rt->positions, sys);
    sfi_egresses_init(&rt->egresses, sys, options->egress_records_max, options->egress_bytes_max);
    sfi_actors_init(&rt->actors, sys, options->cache_bytes_max);
    sfi_mailbox_init(&rt->mailbox, sys, &rt->actors, &rt->types, options->mailbox_bytes_max);
    sfi_epoch_init(&rt->epoch, sys, sfi_ceiling_epoch_bytes(&rt->ceiling));
    sfi_keys_init(&rt->keys, options->keys_keep_ms);
    sfi_operations_init(&rt->operations, sys, options->operations_max, options->workers_max);
    rt->operations.workers.wake = sfi_operations_wake;
    rt->operations.workers.wake_ctx = rt;
    sfi_dead_init(&rt->dead, options->dead_max, options->dead_bytes_max);
    sfi_arena_init(&rt->delivery, sys);
    return rt;
}

void sfi_runtime_drop(sf_runtime *rt)
{
    const struct sfi_sys *sys = rt->sys;
    sfi_operations_fini(&rt->operations); /* first its threads, which may call us */
    sfi_turns_fini(&rt->turns);
    sfi_arena_fini(&rt->delivery);
    sfi_store_close(rt->store); /* first its thread, which reads the batch and signals the poll */
    sfi_gate_fini(&rt->gate);
    sfi_epoch_fini(&rt->epoch);
    sfi_mailbox_fini(&rt->mailbox);
    sfi_actors_fini(&rt->actors);
    sfi_egresses_fini(&rt->egresses);
    sfi_types_fini(&rt->types);
    sfi_asks_fini(&rt->asks, sys);
    sfi_positions_fini(&rt->positions);
    sfi_inbox_fini(&rt->inbox, sys);
    sfi_crowd_fini(&rt->crowd);
    sfi_careful_close(&rt->careful);
    sfi_poll_close(&rt->poll);
    if (rt->has_dir)
        sfi_dir_close(&rt->dir);
    sfi_drive_fini(&rt->drive);
    pthread_mutex_destroy(&rt->lock);
    sfi_free(sys, rt);
}

static int bring_up(sf_runtime *rt)
{
    int rc = sfi_turns_init(&rt->turns, rt);
    rt->ceiling.dir = rt->store->name;
    if (rc == 0)
        rc = sfi_recover(rt);
    if (rc == 0)
        sfi_careful_open(rt);
    if (rc == 0)
        rt->ceiling.room = sfi_store_room(rt->store);
    rt->stats.messages_waiting = rt->mailbox.count;
    return rc;
}

/* Hands it out, or drops it. */
static int opened(sf_runtime *rt, int rc, sf_runtime **out)
{
    if (rc < 0)
        sfi_runtime_drop(rt);
    else
        *out = rt;
    return rc;
}

int sfi_runtime_open_with(const struct sfi_sys *sys, struct sfi_store *store,
                          const sf_options *given, sf_runtime **out)
{
    sf_options options;
    int rc = sfi_options_take(given, &options);
    sf_runtime *rt = rc < 0 ? NULL : runtime_new(sys, &options);
    if (!rt) {
        sfi_store_close(store);
        return rc < 0 ? rc : sfi_err(SF_ENOMEM, "out of memory");
    }
    rt->store = store;
    rc = sfi_poll_open(&rt->poll);
    return opened(rt, rc < 0 ? rc : bring_up(rt), out);
}

/* The commit thread has something to say: whoever drives is to come and settle. */
static void wake(void *ctx)
{
    sfi_poll_settled(ctx);
}

static int open_dir(sf_runtime *rt, const char *path, const sf_options *options)
{
    int rc = sfi_poll_open(&rt->poll);
    if (rc == 0)
        rc = sfi_dir_open(&rt->dir, path, options->must_exist, sfi_lmdb_judge);
    if (rc < 0)
        return rc;
    rt->has_dir = 1;
    struct sfi_lmdb_options lmdb = {.bytes_max = options->store_bytes_max,
                                    .log_bytes_max = options->log_bytes_max,
                                    .log_records_max = options->log_records_max,
                                    .relaxed = options->relaxed,
                                    .commit_inline = options->commit_inline,
                                    .wake = wake,
                                    .wake_ctx = rt};
    rc = sfi_lmdb_open(rt->sys, path, rt->dir.fd, &lmdb, &rt->store);
    return rc < 0 ? rc : bring_up(rt);
}

/* Without them strangers could choose ids that all hash alike, and sf_random() would be a constant. */
static int check_random(const struct sfi_sys *sys)
{
    for (int i = 0; i < 2; i++)
        if (sys->random(sys->ctx))
            return 0;
    return sfi_err(SF_EACCESS, "there are no random numbers: getrandom() is denied to this process, and "
                               "/dev/urandom cannot be read");
}

int sfi_runtime_open(const struct sfi_sys *sys, const char *path, const sf_options *given,
                     sf_runtime **out)
{
    sf_options options;
    int rc = sfi_options_take(given, &options);
    if (rc == 0)
        rc = check_random(sys);
    if (rc < 0)
        return rc;
    sf_runtime *rt = runtime_new(sys, &options);
    if (!rt)
        return sfi_err(SF_ENOMEM, "out of memory");
    rc = opened(rt, open_dir(rt, path, &options), out);
    return rc < 0 ? sfi_err_in(rc, "open '%.200s'", path) : 0;
}

/* -- names ------------------------------------------------------------------------------------------- */

/* Its actors in memory have no room for a time, if none was declared in this run. */
static int widen_actors(sf_runtime *rt, const sf_type *desc)
{
    const struct sfi_type *type =
        desc && sfi_type_name_check(desc->name) == 0 ? sfi_types_find(&rt->types, desc->name) : NULL;
    if (!type || type->is_timed ||
        (!desc->state_expire_after_write_ms && !desc->state_expire_after_access_ms))
        return 0;
    return sfi_actors_widen(&rt->actors, type);
}

int sfi_runtime_register(sf_runtime *rt, const sf_type *desc, void *userdata)
{
    struct sfi_type *type;
    int rc = desc && desc->state_size <= SF_STATE_MAX
                 ? sfi_turns_reserve_state(&rt->turns, desc->state_size)
                 : 0;
    if (rc < 0)
        return rc;
    rc = widen_actors(rt, desc);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    rc = sfi_types_register(&rt->types, desc, userdata, &type);
    if (rc == 0) {
        sfi_mailbox_admit(&rt->mailbox, type);
        sfi_poll_signal(rt);
    }
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

int sfi_runtime_register_egress(sf_runtime *rt, const char *name, sf_egress *callback,
                                void *userdata)
{
    pthread_mutex_lock(&rt->lock);
    int rc = sfi_egresses_register(&rt->egresses, name, callback, userdata);
    if (rc == 0)
        sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* -- the end ------------------------------------------------------------------------------------------- */

/* Takes in everything that was accepted, though no turn will run: it is handled after the next open. */
static int commit_rest(sf_runtime *rt)
{
    int broken = atomic_load(&rt->broken);
    int rc = broken == SF_ECLOSED || broken == SF_EFAILED ? 0 : broken;
    while (rc == 0 && (rc = sfi_inbox_take(rt, 1 << 20)) > 0)
        rc = 0;
    sfi_parts_wake(rt, 0); /* acknowledgements; nothing is due at that time */
    rc = rc == 0 ? sfi_epoch_flush(rt) : rc;
    return rc < 0 ? rc : sfi_store_make_safe(rt->store);
}

int sfi_runtime_finish(sf_runtime *rt)
{
    char why[512];
    int rc = commit_rest(rt);
    strncpy(why, atomic_load(&rt->broken) ? rt->broken_why : sf_errmsg(), sizeof why - 1);
    why[sizeof why - 1] = 0;
    /* What the last callbacks send could not be kept any more. */
    sfi_break(rt, SF_ECLOSED, "the runtime is being closed");
    while (sfi_ticket_call(rt) || sfi_ticket_refuse(rt))
        ;
    sfi_asks_end(rt, SF_ECLOSED);
    while (sfi_ask_call(rt))
        ;
    return rc < 0 ? sfi_err(rc, "%s", why) : 0;
}
