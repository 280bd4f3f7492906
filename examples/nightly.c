/* nightly.c - jobs that run by the clock, each once, also when the machine was down at that time.
 *
 *     nightly DIR at NAME "MINUTE HOUR DAY MONTH WEEKDAY"     by cron, in UTC
 *     nightly DIR every NAME MS
 *     nightly DIR drop NAME
 *     nightly DIR run [MS]        runs what is due, for so long; without MS for ever
 *
 * A job is an actor with one timer.  Setting it again replaces that; the next time is set when a run
 * was kept, so a job that was missed runs once, late, and no run is lost or doubled by a crash.  What
 * a run is to do leaves by an egress, once it is on disk. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char JOB[] = "ops/job", RUNS[] = "ops/runs";

struct job { uint64_t runs; };
struct run { uint64_t number, late_ms; };

static int job_at(sf_turn *turn)
{
    sf_timer_cron(turn, ".run", SF_NONE, sf_msg(turn)->body.data); /* a bad one rejects the turn */
    return sf_reply(turn, "set", SF_NONE);
}

static int job_every(sf_turn *turn)
{
    const uint64_t *period_ms = sf_body(turn, sizeof *period_ms);
    sf_timer_every(turn, ".run", SF_NONE, *period_ms);
    return sf_reply(turn, "set", SF_NONE);
}

static int job_drop(sf_turn *turn)
{
    sf_clear(turn); /* and with it its timer */
    return sf_reply(turn, "dropped", SF_NONE);
}

static int job_run(sf_turn *turn)
{
    struct job *self = sf_state(turn);
    struct run run = {++self->runs, sf_now_ms(turn) - sf_msg(turn)->due_ms};
    return sf_emit(turn, RUNS, "run", SF_OF(run));
}

static const sf_type job = SF_TYPE(JOB,
    .on = {{"at", job_at}, {"every", job_every}, {"drop", job_drop}, {".run", job_run}},
    .state_size = sizeof(struct job));

/* Here the work would be done; it may come again after a crash, with the same number. */
static int print_runs(const sf_message *const *records, size_t count, void *userdata)
{
    (void)userdata;
    for (size_t i = 0; i < count; i++) {
        sf_bytes name = records[i]->from.id;
        struct run run;
        memcpy(&run, records[i]->body.data, sizeof run);
        printf("%.*s run %" PRIu64 ", %" PRIu64 " ms late\n", (int)name.size,
               (const char *)name.data, run.number, run.late_ms);
    }
    fflush(stdout);
    return (int)count;
}

static int ask(sf_runtime *rt, const char *name, const char *kind, sf_bytes body)
{
    sf_message *reply = NULL;
    int rc = sf_ask(rt, sf_addr(JOB, name), kind, body, 5000, &reply);
    sf_message_free(reply);
    return rc;
}

/* The library's own thread sleeps until something is due; it takes callbacks with it. */
static int drive(sf_runtime *rt, const char *ms)
{
    uint64_t for_ms = ms ? strtoull(ms, NULL, 10) : 0;
    struct timespec pause_for = {(time_t)(for_ms / 1000), (long)(for_ms % 1000) * 1000000};
    int rc = sf_runtime_start(rt);
    if (rc < 0)
        return rc;
    if (ms)
        nanosleep(&pause_for, NULL);
    else
        pause();
    return sf_runtime_stop(rt);
}

static int obey(sf_runtime *rt, int count, char **words)
{
    if (count == 3 && strcmp(words[0], "at") == 0)
        return ask(rt, words[1], "at", SF_BYTES(words[2], strlen(words[2]) + 1));
    if (count == 3 && strcmp(words[0], "every") == 0)
        return ask(rt, words[1], "every", SF_OF((uint64_t){strtoull(words[2], NULL, 10)}));
    if (count == 2 && strcmp(words[0], "drop") == 0)
        return ask(rt, words[1], "drop", SF_NONE);
    return drive(rt, count == 2 ? words[1] : NULL);
}

static int is_command(int count, char **words)
{
    return count >= 1 && (count == 3 ? !strcmp(words[0], "at") || !strcmp(words[0], "every")
                          : count == 2 ? !strcmp(words[0], "drop") || !strcmp(words[0], "run")
                                       : count == 1 && !strcmp(words[0], "run"));
}

int main(int argc, char **argv)
{
    sf_runtime *rt = NULL;
    if (!is_command(argc - 2, argv + 2)) {
        fprintf(stderr, "usage: nightly DIR at NAME CRON | every NAME MS | drop NAME | run [MS]\n");
        return 2;
    }
    int rc = sf_runtime_open(argv[1], NULL, &rt);
    if (rc == 0)
        rc = sf_register(rt, &job, NULL);
    if (rc == 0)
        rc = sf_egress_register(rt, RUNS, print_runs, NULL);
    if (rc == 0)
        rc = obey(rt, argc - 2, argv + 2);
    if (rc < 0)
        fprintf(stderr, "nightly: %s\n", sf_errmsg());
    return sf_runtime_close(rt) < 0 || rc < 0;
}
