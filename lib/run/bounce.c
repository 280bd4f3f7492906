#include "run/bounce.h"

#include <string.h>

#include "base/err.h"
#include "run/runtime.h"

static int lists_dead(const struct sfi_type *type)
{
    for (int i = 0; i < SF_KINDS_MAX && type->desc.on[i].kind; i++)
        if (strcmp(type->desc.on[i].kind, SF_DEAD) == 0)
            return 1;
    return 0;
}

/* Somebody told it, and wants to hear of it. */
static int comes_back(const struct sfi_message *message)
{
    enum { NOT_TOLD = SFI_PART_TIMER | SFI_PART_ANSWER };
    const struct sfi_type *from = message->from_type;
    return from && from->registered && strcmp(sfi_message_kind(message), SF_DEAD) != 0 &&
           !(sfi_message_parts(message).has & NOT_TOLD) && lists_dead(from);
}

static struct sfi_message *message_with(sf_runtime *rt, const struct sfi_message *dead,
                                        sf_bytes part)
{
    struct sfi_letter letter = {
        .to_type = dead->from_type,
        .from_type = dead->to_type,
        .hash = sfi_actors_hash(&rt->actors, dead->from_type, sfi_message_from(dead),
                                dead->from_size),
        .to_id = sfi_message_from(dead),
        .to_size = dead->from_size,
        .from_id = sfi_message_to(dead),
        .from_size = dead->to_size,
        .kind = SF_DEAD,
        .kind_size = strlen(SF_DEAD),
        .body = SF_BYTES(sfi_message_kind(dead), dead->kind_size),
        .parts = {.has = SFI_PART_ANSWER, .answer = part}};
    return sfi_message_new(&rt->mailbox.pool, &letter);
}

int sfi_bounce_new(sf_runtime *rt, const struct sfi_message *message, const char *reason,
                   struct sfi_message **out)
{
    *out = NULL;
    if (!comes_back(message))
        return 0;
    struct sfi_answer answer = {.result = SF_EFAILED,
                                .request = sfi_message_body(message),
                                .reason = SF_BYTES(reason, strlen(reason))};
    size_t size = sfi_answer_size(&answer);
    void *part = sfi_alloc(rt->sys, size);
    if (part) {
        sfi_answer_put(part, &answer);
        *out = message_with(rt, message, SF_BYTES(part, size));
        sfi_free(rt->sys, part);
    }
    return *out ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}
