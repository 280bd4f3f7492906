/* answer.h - what the answer of an operation says beside its body: an optional part of a message (message.h).
 *
 *      operation:8  result:4  flags:4  request size:4  reason size:4  request  reason  0:1
 *
 * An answer that is awaited passes its actor's hold (hold.h: 8).  Nothing here allocates. */
#ifndef SFI_ACTOR_ANSWER_H
#define SFI_ACTOR_ANSWER_H

#include "statefun.h"

struct sfi_answer {
    uint64_t operation;
    int result;
    int is_awaited;
    sf_bytes request;
    sf_bytes reason; /* lent with a zero byte past its end */
};

size_t sfi_answer_size(const struct sfi_answer *answer);
/* Writes so many bytes. */
void sfi_answer_put(void *at, const struct sfi_answer *answer);
/* Points into it.  SF_ECORRUPT, SF_ENEWER. */
int sfi_answer_parse(sf_bytes bytes, struct sfi_answer *out);
/* Of a part that was parsed once. */
int sfi_answer_is_awaited(const void *at);
/* It is an ordinary message from here on. */
void sfi_answer_unawait(void *at);

#endif
