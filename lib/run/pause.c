/* pause.c - sf_pause() and sf_resume() as commands: a reason of a hold that outlives the process.  What a type's
 * policy paused (failure.h) goes on with the same command.
 *
 * The hold begins, or ends, when the command is taken in: before the turns of messages that were
 * sent earlier and still wait.  What a paused actor has waiting is the mailbox's business
 * (actor/mailbox.h). */
#include "run/command.h"
#include "run/runtime.h"

static struct sfi_whom whom_of(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_whom whom = {.type = command->type, .id = command->id, .id_size = command->id_size};
    if (whom.id_size)
        whom.hash = sfi_actors_hash(&rt->actors, whom.type, whom.id, whom.id_size);
    return whom;
}

static int execute_pause(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_whom whom = whom_of(rt, command);
    return sfi_holds_pause(&rt->mailbox.holds, sfi_epoch_batch(&rt->epoch), &whom, SFI_HELD_PAUSED,
                           command->text);
}

static int execute_resume(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_whom whom = whom_of(rt, command);
    return sfi_holds_resume(&rt->mailbox.holds, sfi_epoch_batch(&rt->epoch), &whom,
                            SFI_HELD_PAUSED | SFI_HELD_POLICY);
}

const struct sfi_verb sfi_verb_pause = {"pause", SFI_SENDS, execute_pause};
const struct sfi_verb sfi_verb_resume = {"resume", SFI_RELIEF, execute_resume};
