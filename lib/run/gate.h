/* gate.h - what a turn does to the world outside, held back until it cannot be lost.
 *
 *      turn: staged -- kept --> open -- seal --> sealed -- durable --> let out, or
 *                                                     unsafe -- safe --> let out
 *
 * (1) An effect is made inside its turn, whole: so letting it out cannot fail, and a turn that is undone
 *     drops it.
 * (2) Each kind of effect says when it may leave: once it is durable, or, where the world could not take
 *     it back after a power cut, once it is safe (store.h: 3).
 * (3) Effects of one kind leave in the order in which they were made.
 * (4) `out` runs under the runtime's lock and no code of the user's: it hands the effect to who waits for it,
 *     and owns it from then on.
 *
 * The lists are the engine's. */
#ifndef SFI_RUN_GATE_H
#define SFI_RUN_GATE_H

#include <stddef.h>

#include "statefun.h"

struct sfi_effect;

struct sfi_effect_kind {
    int waits_for_safe;
    void (*out)(sf_runtime *rt, struct sfi_effect *effect);
    void (*drop)(struct sfi_effect *effect);
};

/* The first member of what is let out. */
struct sfi_effect {
    struct sfi_effect *next;
    const struct sfi_effect_kind *kind;
    size_t bytes; /* of memory */
};

struct sfi_effects {
    struct sfi_effect *first, *last;
    size_t bytes;
};

struct sfi_gate {
    struct sfi_effects open, sealed, unsafe;
};

void sfi_effects_push(struct sfi_effects *effects, struct sfi_effect *effect);
/* Moves all of `from` to the end of `to`. */
void sfi_effects_move(struct sfi_effects *to, struct sfi_effects *from);
void sfi_effects_drop(struct sfi_effects *effects);

void sfi_gate_fini(struct sfi_gate *gate);
void sfi_gate_seal(struct sfi_gate *gate);
/* Under the lock: the sealed epoch is durable; all that is durable is safe. */
void sfi_gate_durable(sf_runtime *rt);
void sfi_gate_safe(sf_runtime *rt);

#endif
