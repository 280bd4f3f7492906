#include "run/gate.h"

#include "run/runtime.h"

void sfi_effects_push(struct sfi_effects *effects, struct sfi_effect *effect)
{
    effect->next = NULL;
    *(effects->last ? &effects->last->next : &effects->first) = effect;
    effects->last = effect;
    effects->bytes += effect->bytes;
}

void sfi_effects_move(struct sfi_effects *to, struct sfi_effects *from)
{
    if (!from->first)
        return;
    *(to->last ? &to->last->next : &to->first) = from->first;
    to->last = from->last;
    to->bytes += from->bytes;
    *from = (struct sfi_effects){NULL, NULL, 0};
}

static struct sfi_effect *pop(struct sfi_effects *effects)
{
    struct sfi_effect *effect = effects->first;
    if (effect)
        effects->first = effect->next;
    else
        *effects = (struct sfi_effects){NULL, NULL, 0};
    return effect;
}

void sfi_effects_drop(struct sfi_effects *effects)
{
    for (struct sfi_effect *effect; (effect = pop(effects));)
        effect->kind->drop(effect);
}

void sfi_gate_fini(struct sfi_gate *gate)
{
    sfi_effects_drop(&gate->open);
    sfi_effects_drop(&gate->sealed);
    sfi_effects_drop(&gate->unsafe);
}

void sfi_gate_seal(struct sfi_gate *gate)
{
    sfi_effects_move(&gate->sealed, &gate->open);
}

void sfi_gate_durable(sf_runtime *rt)
{
    for (struct sfi_effect *effect; (effect = pop(&rt->gate.sealed));) {
        if (effect->kind->waits_for_safe)
            sfi_effects_push(&rt->gate.unsafe, effect);
        else
            effect->kind->out(rt, effect);
    }
}

void sfi_gate_safe(sf_runtime *rt)
{
    for (struct sfi_effect *effect; (effect = pop(&rt->gate.unsafe));)
        effect->kind->out(rt, effect);
}
