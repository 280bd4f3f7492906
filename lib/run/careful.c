#include "run/careful.h"

#include <limits.h>
#include <stdio.h>

#include "base/err.h"
#include "run/failure.h"
#include "run/runtime.h"

static void forget(struct sfi_turn_page *page)
{
    page->suspect = page->crashes = 0;
}

/* The process before died in that turn.  Without a durable row it is nobody's (1). */
static void accuse(struct sfi_turn_page *page, uint64_t sequence, uint64_t durable_next)
{
    if (sequence >= durable_next) {
        forget(page);
    } else if (page->suspect == sequence) {
        page->crashes++;
    } else {
        page->suspect = sequence;
        page->crashes = 1;
    }
}

/* A page that knows more than the database belongs to another one, or to what a power cut took. */
void sfi_careful_open(sf_runtime *rt)
{
    struct sfi_careful *careful = &rt->careful;
    struct sfi_turn_page *page = sfi_turn_page_open(rt->has_dir ? rt->dir.fd : -1, &careful->own);
    uint64_t died_in = page->sequence, durable_next = rt->mailbox.durable_next;
    careful->page = page;
    if (page->suspect >= durable_next)
        forget(page);
    if (died_in)
        accuse(page, died_in, durable_next);
    page->sequence = 0;
    if (died_in || page->crashes >= careful->crashes_max)
        careful->turns_left = 2 * (uint64_t)rt->epoch_turns_max;
}

void sfi_careful_close(struct sfi_careful *careful)
{
    sfi_turn_page_close(careful->page, &careful->own);
    careful->page = NULL;
}

/* It counts no more when it is on disk that the message is dead: a death before that is the same
 * one's. */
static int set_aside(sf_runtime *rt, struct sfi_message *message)
{
    char reason[64];
    struct sfi_turn_page *page = rt->careful.page;
    snprintf(reason, sizeof reason, "the process died %llu times in its turn",
             (unsigned long long)page->crashes);
    int rc = sfi_failure_bury(rt, message, reason);
    if (rc == 0)
        rc = sfi_epoch_flush(rt);
    if (rc == 0)
        forget(page);
    return rc;
}

static void count_turn(struct sfi_careful *careful)
{
    if (--careful->turns_left == 0 && careful->page->crashes >= careful->crashes_max)
        forget(careful->page); /* it was not met */
}

/* All that waits outside comes in first, as much as an epoch may have: few commits for many messages. */
static int make_durable(sf_runtime *rt)
{
    uint32_t most = rt->epoch_turns_max;
    int rc = sfi_inbox_take(rt, most < INT_MAX ? (int)most : INT_MAX);
    return rc < 0 ? rc : sfi_epoch_flush(rt);
}

int sfi_careful_meet(sf_runtime *rt, struct sfi_message *message)
{
    struct sfi_careful *careful = &rt->careful;
    if (message->purged) /* it is dropped, and no turn of it runs */
        return 1;
    if (message->sequence >= rt->mailbox.durable_next)
        return make_durable(rt);
    if (message->sequence == careful->page->suspect &&
        careful->page->crashes >= careful->crashes_max)
        return set_aside(rt, message);
    count_turn(careful);
    return 1;
}
