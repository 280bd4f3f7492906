/* mesh.c - one life: open, work, settle, close; what happens in it is a table of parts. */
#define _GNU_SOURCE
#include "support/mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/mesh_part.h"

static const struct mesh_part *const parts[] = {
    &mesh_orders, /* G1 to G5: what is sent, told, emitted, and ends as a dead letter */
    &mesh_feeds,  /* G2, G3: what comes from a source */
    &mesh_pauses,  /* G6 */
    &mesh_letters, /* G9: sent again, dropped, evicted */
    &mesh_reborns, /* G7: purged, cleared */
    &mesh_callers, /* G8 */
    &mesh_timers, /* G10: timers, delayed sends, and that they are cancelled */
    &mesh_operations, /* G12 */
};

enum { PARTS = sizeof parts / sizeof *parts };
_Static_assert((int)PARTS <= (int)MESH_PARTS_MAX, "each part has its count");

const char *mesh_part_name(int number)
{
    return number < PARTS ? parts[number]->name : NULL;
}

/* -- what parts use ---------------------------------------------------------------------------- */

int mesh_is_planted(const struct mesh *mesh, const char *bug)
{
    return strcmp(mesh->plant, bug) == 0;
}

int mesh_unexpected(struct run *run, const char *what)
{
    atomic_store(&run->failed, 1);
    return violate(&run->mesh->verdict, "%s: %s", what, sf_errmsg());
}

/* On a disk that was made full SF_EDISK is no surprise: there will be room, after a while. */
int mesh_is_patient(struct run *run, int rc)
{
    enum { ROOM_AFTER = 30, REFUSALS_MAX = 50000 };
    struct timespec nap = {.tv_nsec = 100000};
    if (rc != SF_EDISK || !run->mesh->ballast[0])
        return 0;
    uint32_t refusals = atomic_fetch_add(&run->refusals, 1);
    run->mesh->counts.refused++;
    if (refusals % ROOM_AFTER == ROOM_AFTER - 1)
        unlink(run->mesh->ballast);
    nanosleep(&nap, NULL);
    return refusals < REFUSALS_MAX;
}

int mesh_wait_for_room(struct run *run, int refusal, const char *what)
{
    if (mesh_is_patient(run, refusal)) {
        if (run->drives)
            (void)sf_step(run->rt, 0);
        return 0;
    }
    if (refusal != SF_EAGAIN)
        return mesh_unexpected(run, what);
    int rc = sf_wait_room(run->rt, -1);
    return rc < 0 && !mesh_is_patient(run, rc) ? mesh_unexpected(run, "wait for room") : 0;
}

int mesh_wait(struct run *run, int64_t ticket)
{
    int rc;
    while ((rc = sf_wait(run->rt, ticket, -1)) < 0 && mesh_is_patient(run, rc))
        ;
    return rc < 0 ? mesh_unexpected(run, "wait") : 0;
}

static void on_durable(int result, int64_t ticket, void *userdata)
{
    _Atomic uint8_t *promised = userdata;
    (void)ticket;
    if (result == 0)
        atomic_store(promised, 1);
}

static int pay(struct lane *lane)
{
    if (lane->owed_count && mesh_wait(lane->run, lane->last_ticket) < 0)
        return -1;
    for (uint32_t i = 0; i < lane->owed_count; i++)
        atomic_store(lane->owed[i], 1);
    lane->owed_count = 0;
    return 0;
}

int mesh_owe(struct lane *lane, int64_t ticket, _Atomic uint8_t *promised)
{
    if (dice_below(&lane->dice, 3) == 0)
        return sf_then(lane->run->rt, ticket, on_durable, (void *)(uintptr_t)promised) < 0
                   ? mesh_unexpected(lane->run, "then")
                   : 0;
    lane->last_ticket = ticket;
    lane->owed[lane->owed_count++] = promised;
    return lane->owed_count == MESH_OWED_MAX || dice_below(&lane->dice, 40) == 0 ? pay(lane) : 0;
}

uint32_t mesh_pick(struct lane *lane, uint32_t count)
{
    return (uint32_t)dice_below(&lane->dice, count / lane->lanes) * lane->lanes + lane->parity;
}

/* -- settle ------------------------------------------------------------------------------------ */

int mesh_open_view(struct run *run, sf_view **view)
{
    int rc;
    while ((rc = sf_view_open(run->rt, view)) < 0 && mesh_is_patient(run, rc))
        if (run->drives)
            (void)sf_step(run->rt, 0);
    return rc < 0 ? mesh_unexpected(run, "view") : 0;
}

static int check(struct run *run)
{
    sf_view *view;
    int rc = mesh_open_view(run, &view);
    if (rc < 0)
        return rc;
    for (int i = 0; rc == 0 && i < PARTS; i++)
        if (parts[i]->check)
            rc = parts[i]->check(run, view);
    sf_view_close(view);
    run->mesh->counts.drained++;
    return rc;
}

/* 1: relaxed mode has caught up. */
static int is_safe(struct run *run)
{
    sf_view *view;
    int safe = 1;
    if (!run->is_relaxed)
        return 1;
    if (mesh_open_view(run, &view) < 0)
        return -1;
    for (int i = 0; safe == 1 && i < PARTS; i++)
        if (parts[i]->is_safe)
            safe = parts[i]->is_safe(run, view);
    sf_view_close(view);
    return safe;
}

static int run_until_idle(struct run *run)
{
    int rc;
    while ((rc = sf_run_until_idle(run->rt)) < 0 && mesh_is_patient(run, rc))
        ;
    return rc < 0 ? mesh_unexpected(run, "run until idle") : 0;
}

/* Functions on threads of the library. */
static int are_under_way(struct run *run)
{
    sf_stats stats = {.size = sizeof stats};
    (void)sf_stats_get(run->rt, &stats);
    return stats.operations != 0;
}

/* Drives until nothing is under way, a sink's pauses included.  What is not safe by then never will
 * be: the check says what it is. */
static int drive_to_rest(struct run *run)
{
    enum { REST_US = 60000000, SAFE_US = 15000000 };
    uint64_t began_us = now_us();
    for (;;) {
        if (run_until_idle(run) < 0)
            return -1;
        uint64_t took_us = now_us() - began_us;
        int due_ms = sf_timeout_ms(run->rt);
        int safe = due_ms >= 0 || are_under_way(run) ? 0 : took_us > SAFE_US ? 1 : is_safe(run);
        if (safe)
            return safe < 0 ? -1 : 0;
        if (took_us > REST_US)
            return violate(&run->mesh->verdict, "it did not come to rest in a minute");
        struct timespec pause = {.tv_nsec = due_ms ? 1000000 : 0};
        nanosleep(&pause, NULL);
    }
}

static int settle(struct run *run)
{
    for (int i = 0; i < PARTS; i++)
        if (parts[i]->calm && parts[i]->calm(run) < 0)
            return -1;
    return drive_to_rest(run) < 0 ? -1 : check(run);
}

/* -- open and close ---------------------------------------------------------------------------- */

/* Each life has others.  Killing loses nothing in relaxed mode either. */
static sf_options throw_options(struct run *run)
{
    static const uint32_t log_records[] = {0, 24, 300};
    static const uint64_t budgets[] = {0, 0, 4 << 10, 64 << 10};
    static const uint64_t egress_records[] = {0, 0, 0, 200};
    sf_options options = SF_OPTIONS(.epoch_turns_max = (uint32_t)(16 << dice_below(&run->dice, 8)));
    options.log_records_max = log_records[dice_below(&run->dice, 3)];
    options.commit_inline = (int)dice_below(&run->dice, 2);
    options.relaxed = run->is_relaxed = dice_below(&run->dice, 4) == 0;
    options.cache_bytes_max = budgets[dice_below(&run->dice, 4)];
    options.mailbox_bytes_max = budgets[dice_below(&run->dice, 4)];
    options.dead_max = mesh_dead_max(run);
    options.egress_records_max = egress_records[dice_below(&run->dice, 4)];
    return options;
}

static int register_types(struct run *run)
{
    for (int i = 0; i < PARTS; i++)
        for (int j = 0; j < 3 && parts[i]->types[j]; j++)
            if (sf_register(run->rt, parts[i]->types[j], run->mesh) < 0)
                return mesh_unexpected(run, "register");
    return 0;
}

static int look(struct run *run)
{
    sf_view *view;
    int rc = mesh_open_view(run, &view);
    if (rc < 0)
        return rc;
    for (int i = 0; rc == 0 && i < PARTS; i++)
        if (parts[i]->look)
            rc = parts[i]->look(run, view);
    sf_view_close(view);
    return rc;
}

static int open_run(struct run *run)
{
    sf_options options = throw_options(run);
    int rc;
    while ((rc = sf_runtime_open(run->mesh->dir, &options, &run->rt)) < 0 &&
           mesh_is_patient(run, rc))
        ;
    if (rc < 0)
        return mesh_unexpected(run, "open");
    if (register_types(run) < 0 || look(run) < 0)
        return -1;
    for (int i = 0; rc == 0 && i < PARTS; i++)
        if (parts[i]->open)
            rc = parts[i]->open(run);
    return rc;
}

static int close_run(struct run *run)
{
    for (uint32_t p = 0; p < MESH_PARTITIONS; p++)
        sf_source_close(run->sources[p]);
    int rc = sf_runtime_close(run->rt);
    return rc < 0 && !mesh_is_patient(run, rc) ? mesh_unexpected(run, "close") : 0;
}

/* -- work -------------------------------------------------------------------------------------- */

static int step_now_and_then(struct lane *lane)
{
    struct run *run = lane->run;
    if (!run->drives || dice_below(&lane->dice, 30))
        return 0;
    int rc = sf_step(run->rt, (int)dice_below(&lane->dice, 100));
    return rc < 0 && !mesh_is_patient(run, rc) ? mesh_unexpected(run, "step") : 0;
}

static int go_round(struct lane *lane)
{
    for (int i = 0; i < PARTS; i++) {
        if (!parts[i]->act || dice_below(&lane->dice, parts[i]->one_in))
            continue;
        atomic_fetch_add(&lane->run->mesh->counts.acts[i], 1);
        if (parts[i]->act(lane) < 0)
            return -1;
    }
    return step_now_and_then(lane);
}

static int work(struct lane *lane)
{
    uint64_t rounds = 1u << dice_below(&lane->dice, 13);
    for (; lane->round < rounds && !atomic_load(&lane->run->failed); lane->round++)
        if (go_round(lane) < 0)
            return -1;
    return pay(lane);
}

static void *work_on_thread(void *arg)
{
    (void)work(arg);
    return NULL;
}

static int work_with_threads(struct run *run)
{
    struct lane lanes[2];
    if (sf_runtime_start(run->rt) < 0)
        return mesh_unexpected(run, "start");
    run->drives = 0;
    for (uint32_t i = 0; i < 2; i++) {
        lanes[i] =
            (struct lane){.run = run, .dice = {dice_throw(&run->dice)}, .parity = i, .lanes = 2};
        if (pthread_create(&lanes[i].thread, NULL, work_on_thread, &lanes[i]))
            abort();
    }
    for (int i = 0; i < 2; i++)
        pthread_join(lanes[i].thread, NULL);
    run->drives = 1;
    if (!atomic_load(&run->failed) && sf_runtime_stop(run->rt) < 0)
        return mesh_unexpected(run, "stop");
    return atomic_load(&run->failed) ? -1 : 0;
}

static int work_alone(struct run *run)
{
    struct lane lane = {.run = run, .dice = {dice_throw(&run->dice)}, .lanes = 1};
    return work(&lane);
}

int mesh_run(void *arg)
{
    struct mesh *mesh = arg;
    struct run run = {.mesh = mesh, .dice = {mesh->seed}, .drives = 1};
    int rc = open_run(&run);
    mesh->counts.runs++;
    if (rc == 0 && (mesh->only_check || dice_below(&run.dice, 3) == 0))
        rc = settle(&run);
    if (rc == 0 && !mesh->only_check)
        rc = dice_below(&run.dice, 3) ? work_alone(&run) : work_with_threads(&run);
    if (rc == 0 && dice_below(&run.dice, 2))
        rc = settle(&run);
    if (rc == 0)
        rc = close_run(&run);
    return rc < 0 || atomic_load(&mesh->verdict.violated);
}

int mesh_is_used_up(const struct mesh *mesh)
{
    uint32_t used_up = 0;
    for (uint32_t i = 0; i < MESH_ACTORS; i++)
        used_up += atomic_load(&mesh->model.sent[i]) >= MESH_NUMBERS;
    return used_up > MESH_ACTORS / 2;
}
