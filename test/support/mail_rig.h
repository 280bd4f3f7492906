/* mail_rig.h - a mailbox alone, on a store in memory, with what it needs around it: types, actors, two
 * batches.  The test seals, settles and crashes.
 *
 * Actors are numbered through: the first MAIL_ACTORS are of the first type, and so on.  A message's kind
 * is its number. */
#ifndef TEST_MAIL_RIG_H
#define TEST_MAIL_RIG_H

#include "actor/mailbox.h"
#include "store/mem_store.h"
#include "support/machine.h"

enum { MAIL_TYPES = 2, MAIL_ACTORS = 3, MAIL_ALL = MAIL_TYPES * MAIL_ACTORS };

struct mail {
    struct machine machine;
    struct sfi_mailbox mailbox;
    struct sfi_actors actors;
    struct sfi_types types;
    struct sfi_mem_disk *disk;
    struct sfi_store *store;
    struct sfi_batch batches[2];
    int open, is_sealed;
    struct sfi_type type[MAIL_TYPES], *all[MAIL_TYPES];
    uint64_t bytes_max;
    struct {
        uint64_t next, waiting, parked, bytes;
    } sealed, stored;
};

#define MAIL_TEST(function) cmocka_unit_test_setup_teardown(function, mail_setup, mail_teardown)

int mail_setup(void **state);
int mail_teardown(void **state); /* nothing is left in memory */
/* A process: everything in memory, on the disk that the rig keeps. */
void mail_live(struct mail *f);
int mail_try_to_live(struct mail *f); /* what loading the holds says */
void mail_die(struct mail *f);
void mail_restart(struct mail *f); /* a crash: what was not committed is gone */

struct sfi_batch *mail_batch(struct mail *f); /* the open one */
/* Seals; 0, or SF_ENOMEM with the epoch open as before. */
int mail_seal(struct mail *f);
void mail_settle(struct mail *f); /* the sealed one is durable */
void mail_commit(struct mail *f);

struct sfi_whom mail_whom(struct mail *f, int actor);
struct sfi_whom mail_whole_type(struct mail *f, int type);
void mail_push(struct mail *f, int actor, uint64_t number);
/* The head, however many messages are moved before. */
struct sfi_message *mail_head(struct mail *f, int *rc);
int mail_actor_of(struct mail *f, const struct sfi_message *message);
uint64_t mail_number_of(const struct sfi_message *message);
/* It must be that actor's, with that number. */
void mail_handle(struct mail *f, int actor, uint64_t number);
int mail_nothing_now(struct mail *f);
void mail_pause(struct mail *f, struct sfi_whom who);
void mail_resume(struct mail *f, struct sfi_whom who);
uint64_t mail_draw(struct mail *f, uint64_t below);

#endif
