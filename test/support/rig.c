/* rig.c - see rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "support/rig.h"

/* A commit thread, or one that waits and drives, may be asking while the test tells. */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static int look_up(struct rig *rig, const char *point)
{
    for (int i = 0; i < TELLS; i++) {
        struct tell *tell = &rig->tells[i];
        if (!tell->point || strcmp(tell->point, point) != 0)
            continue;
        if (tell->pass > 0) {
            tell->pass--;
            return 0;
        }
        if (tell->times == 0)
            return 0;
        tell->times -= tell->times > 0;
        return tell->code;
    }
    return 0;
}

static int told(void *ctx, const char *point)
{
    pthread_mutex_lock(&telling);
    int code = look_up(ctx, point);
    pthread_mutex_unlock(&telling);
    return code;
}

struct tell *tell(struct rig *rig, const char *point, int times)
{
    struct tell *at = rig->tells;
    pthread_mutex_lock(&telling);
    while (at < rig->tells + TELLS && at->point && strcmp(at->point, point) != 0)
        at++;
    int has_room = at < rig->tells + TELLS;
    if (has_room)
        *at = (struct tell){.point = point, .code = SF_EDISK, .times = times};
    pthread_mutex_unlock(&telling);
    assert_true(has_room);
    return at;
}

void rig_start(struct rig *rig)
{
    struct sfi_store *store;
    OK(sfi_mem_open(&rig->machine.sys, rig->disk, &store));
    OK(sfi_runtime_open_with(&rig->machine.sys, store, &rig->options, &rig->rt));
    OK(sf_register(rig->rt, &speaker_type, NULL));
    OK(sf_register(rig->rt, &counter_type, NULL));
    OK(sf_egress_register(rig->rt, "said", note_records, rig->notes));
    OK(sf_run_until_idle(rig->rt)); /* the types' own epoch */
    OK(sf_source_open(rig->rt, "input", 0, &rig->source));
}

void rig_open(struct rig *rig, struct place *place, sf_options options)
{
    *rig = (struct rig){.options = options, .notes = &place->notes};
    if (rig->options.inbox_ms_max == 0)
        rig->options.inbox_ms_max = HOUR_MS;
    machine_init(&rig->machine);
    rig->machine.sys.fault = told;
    rig->disk = sfi_mem_disk_new(sfi_sys_default());
    assert_non_null(rig->disk);
    rig_start(rig);
}

void rig_crash(struct rig *rig)
{
    sf_source_close(rig->source);
    int rc = sf_then_cancel(rig->rt, rig->notes);
    OK(rc == SF_EFAILED ? 0 : rc); /* a type has stopped it */
    sfi_runtime_drop(rig->rt);
    memset(rig->tells, 0, sizeof rig->tells);
}

void rig_close(struct rig *rig)
{
    memset(rig->tells, 0, sizeof rig->tells);
    sf_source_close(rig->source);
    OK(sf_runtime_close(rig->rt));
    sfi_mem_disk_free(rig->disk);
    assert_int_equal(rig->machine.live, 0);
}

void feed(struct rig *rig, uint64_t position, uint64_t number)
{
    (void)sf_source_send(rig->source, sf_addr(SPEAKER, "a"), "say", SF_OF(number));
    OK(sf_source_advance(rig->source, position));
}

int64_t one_of_each(struct rig *rig, uint64_t n)
{
    feed(rig, n, 10 * n + 1);
    OK(sf_ask_then(rig->rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){10 * n + 2}), -1,
                   note_answer, rig->notes));
    int64_t ticket = say(rig->rt, 10 * n + 3);
    OK(sf_then(rig->rt, ticket, note_done, rig->notes));
    return ticket;
}

void came(struct rig *rig, const char *text)
{
    assert_string_equal(noted(rig->notes), text);
    notes_clear(rig->notes);
}
