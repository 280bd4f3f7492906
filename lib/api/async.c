/* async.c - the public functions on operations: check what is passed, then hand on. */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/in_turn.h"
#include "base/err.h"
#include "run/await.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/starting.h"

_Static_assert((int)SFI_OPERATION_NAME_BYTES <= (int)SF_ASYNC_MAX, "a saved operation fits");

enum { FOREVER_BITS = 43 /* some centuries of milliseconds */ };

/* -- started ----------------------------------------------------------------------------------- */

static uint64_t start(sf_turn *turn, enum sfi_start how, sf_async_fn *function, const char *kind,
                      sf_bytes request)
{
    if (sfi_in_turn_check(turn) < 0)
        return 0;
    int rc = sfi_check_payload(turn->rt, kind, request);
    if (rc == 0 && !function && how != SFI_OPEN)
        rc = sfi_err(SF_EINVAL, "an operation needs a function");
    if (rc < 0) {
        sfi_in_turn_reject(turn, rc);
        return 0;
    }
    return sfi_starting_add(turn, how, function, kind ? kind : "", request);
}

static int result_of(sf_turn *turn, uint64_t id)
{
    return id ? 0 : sfi_in_turn_check(turn);
}

int sf_async_start(sf_turn *turn, sf_async_fn *function, const char *kind, sf_bytes request)
{
    return result_of(turn, start(turn, SFI_START, function, kind, request));
}

int sf_async_work(sf_turn *turn, sf_async_fn *function, const char *kind, sf_bytes request)
{
    return result_of(turn, start(turn, SFI_WORK, function, kind, request));
}

sf_async sf_async_open(sf_turn *turn, const char *kind, sf_bytes request)
{
    uint64_t id = start(turn, SFI_OPEN, NULL, kind, request);
    return (sf_async){id ? turn->rt : NULL, id};
}

int sf_async_limit(sf_turn *turn, uint64_t time_ms)
{
    const uint64_t most_ms = UINT64_C(1) << FOREVER_BITS;
    int rc = sfi_in_turn_check(turn);
    if (rc < 0)
        return rc;
    if (!turn->starter)
        return sfi_in_turn_reject(
            turn, sfi_err(SF_EINVAL, "sf_async_limit: this turn has started no operation"));
    turn->starter->last->has_limit = 1;
    turn->starter->last->limit_ms = time_ms < most_ms ? time_ms : most_ms;
    return 0;
}

int sf_await(sf_turn *turn)
{
    int rc = sfi_in_turn_check(turn);
    if (rc < 0)
        return rc;
    if (!turn->starter)
        return sfi_in_turn_reject(
            turn, sfi_err(SF_EINVAL, "sf_await: this turn has started no operation"));
    turn->starter->awaits = 1;
    return 0;
}

const sf_message *sf_take(sf_turn *turn)
{
    return sfi_in_turn_check(turn) < 0 ? NULL : sfi_await_take(turn);
}

/* -- named ------------------------------------------------------------------------------------- */

sf_bytes sf_async_save(sf_turn *turn, sf_async op)
{
    if (sfi_in_turn_check(turn) < 0)
        return SF_NONE;
    if (op.rt != turn->rt || !op.id) {
        sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "sf_async_save: no operation of this runtime"));
        return SF_NONE;
    }
    unsigned char *bytes =
        sfi_arena_alloc(&turn->rt->turns.work.arena, SFI_OPERATION_NAME_BYTES + 1);
    if (!bytes) {
        sfi_work_no_memory(&turn->rt->turns.work);
        return SF_NONE;
    }
    sfi_operation_save_name(turn->rt, op.id, bytes);
    bytes[SFI_OPERATION_NAME_BYTES] = 0;
    return SF_BYTES(bytes, SFI_OPERATION_NAME_BYTES);
}

int sf_async_load(sf_runtime *rt, sf_bytes saved, sf_async *out)
{
    uint64_t id;
    int rc = sfi_life_check(rt, "sf_async_load()");
    if (rc == 0 && !out)
        rc = sfi_err(SF_EINVAL, "sf_async_load: no place for the operation");
    if (rc == 0)
        rc = sfi_operation_load_name(rt, saved, &id);
    if (rc == 0)
        *out = (sf_async){rt, id};
    return rc;
}

/* -- answered ---------------------------------------------------------------------------------- */

int sf_async_done(sf_async op, sf_bytes answer)
{
    int rc = sfi_call_check(op.rt, SFI_HERE, "sf_async_done()", NULL);
    if (rc == 0)
        rc = sfi_check_payload(op.rt, NULL, answer);
    return rc < 0 ? rc : sfi_operation_complete(op.rt, op.id, 0, answer);
}

int sf_async_fail(sf_async op, const char *reason)
{
    char text[SFI_REASON_MAX];
    int rc = sfi_call_check(op.rt, SFI_HERE, "sf_async_fail()", NULL);
    if (rc < 0)
        return rc;
    snprintf(text, sizeof text, "%s", reason ? reason : "");
    return sfi_operation_complete(op.rt, op.id, SF_EFAILED, SF_BYTES(text, strlen(text) + 1));
}
