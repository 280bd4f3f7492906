/* command.h - what is asked of the engine from outside beside messages: pause, resume, purge, resend, drop, send
 * later, cancel that, send once; and the answers of operations.
 *
 * (1) Everything from outside goes through one door, the inbox, and gets one ticket: so "pause, then send"
 *     means that.  The engine executes a command when it takes it in, as part of the open epoch; its effects
 *     are durable when the ticket is.  That is before the turns of messages sent earlier that still wait.
 * (2) What a caller can know at once is checked at once; what only the engine can know is no error but "no
 *     effect": an error that comes after the fact has nobody to go to.
 * (3) A command is executed whole or not at all: `execute` fails only for want of memory or with what the store
 *     says, has changed nothing then, and is called again.
 * (4) Each verb names the door of the ceiling through which it goes (ceiling.h).  Those that make room come in
 *     also when the inbox is full, up to SFI_RELIEF_BYTES.
 *
 * A verb is one row, in the file that executes it, and one line of the table in command.c. */
#ifndef SFI_RUN_COMMAND_H
#define SFI_RUN_COMMAND_H

#include "run/ceiling.h"

enum { SFI_RELIEF_BYTES = 1 << 20 };

/* Lent for the call. */
struct sfi_command {
    struct sfi_type *type; /* NULL: it is about no actor */
    const char *id;        /* size 0: all actors of the type */
    size_t id_size;
    uint64_t number;
    const char *kind; /* of a message */
    size_t kind_size;
    sf_bytes text; /* or its body */
    sf_bytes token;
    int result; /* of an operation */
};

struct sfi_verb {
    const char *name;
    enum sfi_door door;
    int (*execute)(sf_runtime *rt, const struct sfi_command *command);
};

/* Numbers are known in memory only. */
enum sfi_verb_number {
    SFI_MESSAGE,
    SFI_ADVANCE,
    SFI_PAUSE,
    SFI_RESUME,
    SFI_PURGE,
    SFI_RESEND,
    SFI_DROP,
    SFI_LATER,
    SFI_CANCEL,
    SFI_ONCE,
    SFI_ANSWER
};

extern const struct sfi_verb sfi_verb_pause, sfi_verb_resume, sfi_verb_resend, sfi_verb_drop,
    sfi_verb_purge, sfi_verb_later, sfi_verb_cancel, sfi_verb_once, sfi_verb_answer;

const struct sfi_verb *sfi_verb(enum sfi_verb_number number);

/* Any thread.  Its ticket, or SF_EAGAIN, SF_EDISK, SF_ENOMEM. */
int64_t sfi_command_give(sf_runtime *rt, enum sfi_verb_number verb,
                         const struct sfi_command *command);

#endif
