/* mail_rig.c - see mail_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/mail_rig.h"

int mail_try_to_live(struct mail *f)
{
    sfi_actors_init(&f->actors, &f->machine.sys, 1 << 20);
    sfi_mailbox_init(&f->mailbox, &f->machine.sys, &f->actors, &f->types, f->bytes_max);
    sfi_batch_init(&f->batches[0], &f->machine.sys);
    sfi_batch_init(&f->batches[1], &f->machine.sys);
    f->open = f->is_sealed = 0;
    assert_int_equal(sfi_mem_open(&f->machine.sys, f->disk, &f->store), 0);
    sfi_mailbox_recover(&f->mailbox, f->store, f->stored.next, f->stored.waiting, f->stored.parked);
    f->mailbox.parking.bytes = f->stored.bytes;
    return sfi_mailbox_load_holds(&f->mailbox);
}

void mail_live(struct mail *f)
{
    assert_int_equal(mail_try_to_live(f), 0);
}

void mail_die(struct mail *f)
{
    sfi_mailbox_fini(&f->mailbox);
    sfi_actors_fini(&f->actors);
    sfi_batch_fini(&f->batches[0]);
    sfi_batch_fini(&f->batches[1]);
    sfi_store_close(f->store);
}

int mail_setup(void **state)
{
    static struct mail f;
    static const char *const names[MAIL_TYPES] = {"test/a", "test/b"};
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    f.disk = sfi_mem_disk_new(&f.machine.sys);
    f.types =
        (struct sfi_types){.sys = &f.machine.sys, .all = f.all, .count = MAIL_TYPES, .capacity = MAIL_TYPES};
    for (int i = 0; i < MAIL_TYPES; i++) {
        f.all[i] = &f.type[i];
        f.type[i].name = (char *)names[i];
        f.type[i].number = (uint32_t)i + 1;
        f.type[i].registered = 1;
        f.type[i].desc.name = names[i];
        f.type[i].backoff_ms_max = 1000;
    }
    f.bytes_max = 1 << 20;
    f.stored.next = 1;
    mail_live(&f);
    *state = &f;
    return 0;
}

int mail_teardown(void **state)
{
    struct mail *f = *state;
    mail_die(f);
    sfi_mem_disk_free(f->disk);
    return f->machine.live == 0 ? 0 : -1;
}

struct sfi_batch *mail_batch(struct mail *f)
{
    return &f->batches[f->open];
}

/* Seals; 0, or SF_ENOMEM with the epoch open as before. */
int mail_seal(struct mail *f)
{
    struct sfi_batch_mark mark = sfi_batch_mark(mail_batch(f));
    int rc = sfi_mailbox_save(&f->mailbox, mail_batch(f));
    if (rc < 0) {
        sfi_batch_rollback(mail_batch(f), mark);
        return rc;
    }
    sfi_mailbox_saved(&f->mailbox);
    sfi_batch_seal(mail_batch(f), f->store->durable + 1);
    f->sealed.next = f->mailbox.next_sequence;
    f->sealed.parked = f->mailbox.parking.rows;
    f->sealed.bytes = f->mailbox.parking.bytes;
    f->sealed.waiting = f->mailbox.count - f->sealed.parked;
    f->open = !f->open;
    f->is_sealed = 1;
    return 0;
}

void mail_settle(struct mail *f)
{
    struct sfi_batch *sealed = &f->batches[!f->open];
    assert_int_equal(sfi_store_submit(f->store, sealed), 0);
    assert_int_equal(sfi_store_settle(f->store, 1), SFI_DURABLE);
    sfi_batch_reset(sealed);
    f->stored.next = f->sealed.next;
    f->stored.waiting = f->sealed.waiting;
    f->stored.parked = f->sealed.parked;
    f->stored.bytes = f->sealed.bytes;
    f->is_sealed = 0;
    sfi_mailbox_published(&f->mailbox);
}

void mail_commit(struct mail *f)
{
    if (f->is_sealed)
        mail_settle(f);
    assert_int_equal(mail_seal(f), 0);
    mail_settle(f);
}

/* A crash: what was not committed is gone. */
void mail_restart(struct mail *f)
{
    mail_die(f);
    mail_live(f);
}

static const char ids[MAIL_ACTORS][2] = {"x", "y", "z"};

struct sfi_whom mail_whom(struct mail *f, int actor)
{
    struct sfi_type *type = &f->type[actor / MAIL_ACTORS];
    const char *id = ids[actor % MAIL_ACTORS];
    return (struct sfi_whom){type, sfi_actors_hash(&f->actors, type, id, 1), id, 1};
}

struct sfi_whom mail_whole_type(struct mail *f, int type)
{
    return (struct sfi_whom){.type = &f->type[type]};
}

void mail_push(struct mail *f, int actor, uint64_t number)
{
    char kind[24];
    struct sfi_whom to = mail_whom(f, actor);
    snprintf(kind, sizeof kind, "%" PRIu64, number);
    struct sfi_letter letter = {.to_type = to.type,
                                .hash = to.hash,
                                .to_id = to.id,
                                .to_size = 1,
                                .kind = kind,
                                .kind_size = strlen(kind)};
    struct sfi_message *message = sfi_message_new(&f->mailbox.pool, &letter);
    assert_non_null(message);
    sfi_mailbox_push(&f->mailbox, message);
}

struct sfi_message *mail_head(struct mail *f, int *rc)
{
    struct sfi_message *message;
    do
        message = sfi_mailbox_head(&f->mailbox, mail_batch(f), rc);
    while (!message && *rc > 0);
    return message;
}

int mail_actor_of(struct mail *f, const struct sfi_message *message)
{
    return (int)(message->to_type - f->type) * MAIL_ACTORS + (*sfi_message_to(message) - 'x');
}

uint64_t mail_number_of(const struct sfi_message *message)
{
    return strtoull(sfi_message_kind(message), NULL, 10);
}

void mail_handle(struct mail *f, int actor, uint64_t number)
{
    int rc = 0;
    struct sfi_message *message = mail_head(f, &rc);
    assert_int_equal(rc, 0);
    assert_non_null(message);
    assert_int_equal(mail_actor_of(f, message), actor);
    assert_int_equal(mail_number_of(message), number);
    assert_false(message->purged);
    sfi_mailbox_done(&f->mailbox);
}

int mail_nothing_now(struct mail *f)
{
    int rc = 0;
    return mail_head(f, &rc) == NULL && rc == 0;
}

void mail_pause(struct mail *f, struct sfi_whom who)
{
    assert_int_equal(
        sfi_holds_pause(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_PAUSED, sf_str("why not")), 0);
}

void mail_resume(struct mail *f, struct sfi_whom who)
{
    assert_int_equal(sfi_holds_resume(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_PAUSED), 0);
}

uint64_t mail_draw(struct mail *f, uint64_t below)
{
    return f->machine.sys.random(f->machine.sys.ctx) % below;
}
