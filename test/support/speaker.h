/* speaker.h - an actor that leaves by every door: state, reply, egress record; and a runtime on a
 * disk that has it. */
#ifndef TEST_SPEAKER_H
#define TEST_SPEAKER_H

#include "support/support.h"

/* "test/speaker": "say" (uint64_t) adds the number, emits it to "said" and replies "heard". */
extern const char SPEAKER[];
extern const sf_type speaker_type;

uint64_t number_in(const sf_message *message); /* of a speaker; of a counter: the total */
int64_t say(sf_runtime *rt, uint64_t number);

/* Callbacks that note what came: "egress 1=11 ", "answer 12 ", "done 3=0 ". */
int note_records(const sf_message *const *records, size_t count, void *notes);
void note_answer(int result, const sf_message *reply, void *notes);
void note_done(int result, int64_t ticket, void *notes);

/* On a disk, in a directory of its own, with speakers and counters. */
sf_runtime *open_in(struct place *place, const char *name, const sf_options *options);
const char *how(int is_inline); /* a name for such a directory */
int is_readable(sf_runtime *rt, int wait_ms);
/* As a host's loop: until nothing happens any more, the store's own work included. */
void until_quiet(sf_runtime *rt);

#endif
