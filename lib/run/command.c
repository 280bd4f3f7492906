#include "run/command.h"

#include "run/inbox.h"
#include "run/runtime.h"

static const struct sfi_verb message = {"message", SFI_SENDS, NULL};

static const struct sfi_verb *const verbs[] = {
    [SFI_MESSAGE] = &message,
    [SFI_ADVANCE] = &message,
    [SFI_PAUSE] = &sfi_verb_pause,
    [SFI_RESUME] = &sfi_verb_resume,
    [SFI_PURGE] = &sfi_verb_purge,
    [SFI_RESEND] = &sfi_verb_resend,
    [SFI_DROP] = &sfi_verb_drop,
    [SFI_LATER] = &sfi_verb_later,
    [SFI_CANCEL] = &sfi_verb_cancel,
    [SFI_ONCE] = &sfi_verb_once,
    [SFI_ANSWER] = &sfi_verb_answer};

const struct sfi_verb *sfi_verb(enum sfi_verb_number number)
{
    return verbs[number];
}

int64_t sfi_command_give(sf_runtime *rt, enum sfi_verb_number verb,
                         const struct sfi_command *command)
{
    struct sfi_parcel parcel = {.verb = verb,
                                .type = command->type,
                                .id = command->id,
                                .id_size = command->id_size,
                                .kind = command->kind ? command->kind : "",
                                .kind_size = command->kind_size,
                                .body = command->text,
                                .token = command->token,
                                .number = command->number};
    pthread_mutex_lock(&rt->lock);
    int64_t ticket = sfi_inbox_send(rt, &parcel);
    if (ticket > 0)
        sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
    return ticket;
}
