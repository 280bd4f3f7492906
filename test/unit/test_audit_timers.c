/* test_audit_timers.c - what sf_verify() finds wrong with timers, a lie at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/key.h"
#include "run/audit_timers.h"
#include "run/schedule.h"
#include "support/machine.h"
#include "support/support.h"

/* A row of table timer as the engine writes it, looked at by `look`. */
struct made {
    uint64_t sequence, says;
    sf_bytes token;
    int is_own, cut;
};

static int look(struct sfi_timer_audit *audit, const struct made *made)
{
    struct machine machine;
    struct sfi_pool pool;
    struct sfi_batch batch;
    struct sfi_envelope envelope;
    struct sfi_type to = {.number = 5};
    struct sfi_letter letter = {.to_type = &to,
                                .to_id = "target",
                                .to_size = 6,
                                .from_id = "",
                                .kind = "kind",
                                .kind_size = 4,
                                .body = SF_NONE};
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    sfi_batch_init(&batch, &machine.sys);
    if (made->is_own)
        letter.parts = (struct sfi_message_parts){.has = SFI_PART_TIMER, .timer = made->says};
    struct sfi_message *message = sfi_message_new(&pool, &letter);
    assert_non_null(message);
    OK(sfi_message_save_timer(message, 77, made->sequence, made->token, &batch));
    const struct sfi_op *op = &batch.tables[SFI_TIMER].ops[0];
    sf_bytes key = sfi_op_key(op), value = sfi_op_value(op);
    key.size -= (size_t)made->cut;
    int rc = sfi_audit_timer(audit, key, value, &envelope);
    sfi_message_free(&pool, message);
    sfi_batch_fini(&batch);
    sfi_pool_fini(&pool);
    return rc;
}

static int token(struct sfi_timer_audit *audit, uint64_t sequence, uint64_t number)
{
    unsigned char name[SFI_TIMER_NAME_MAX], payload[5 + SFI_TIMER_RECORD_MAX] = {0};
    struct sfi_timer timer = {.form = SFI_TELL, .due_ms = 77, .sequence = sequence,
                              .row_due_ms = 77, .row_sequence = sequence};
    struct sfi_key key;
    sfi_key_entry(&key, number, sfi_token_name(name, sf_str("t")));
    sf_bytes record = sfi_timer_encode(&timer, payload + 5);
    return sfi_audit_token(audit, sfi_key_bytes(&key), SF_BYTES(payload, 5 + record.size));
}

static void sound_rows_are_whole(void **state)
{
    struct sfi_timer_audit audit = {0};
    (void)state;
    OK(look(&audit, &(struct made){.sequence = 4, .says = 4, .is_own = 1}));
    OK(look(&audit, &(struct made){.sequence = 6, .token = sf_str("t")}));
    OK(look(&audit, &(struct made){.sequence = 9}));
    OK(token(&audit, 6, SFI_OUTSIDE_NUMBER));
    OK(token(&audit, 1000, 3)); /* some map's */
    OK(sfi_audit_timers(&audit, 10));
}

static void rows_that_lie_are_found(void **state)
{
    struct sfi_timer_audit audit = {0};
    (void)state;
    REFUSED(look(&audit, &(struct made){.sequence = 4, .says = 5, .is_own = 1}), SF_ECORRUPT);
    SAYS("timer 4 says that it is 5");
    REFUSED(look(&audit, &(struct made){.sequence = 4, .cut = 1}), SF_ECORRUPT);
    SAYS("a key of 15 bytes");
    REFUSED(sfi_audit_timers(&audit, 4), SF_ECORRUPT);
    SAYS("timer 4 was never given that number");
}

static void a_token_without_its_message_and_a_message_without_its_token_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct sfi_timer_audit audit = {0};
        if (i != 0)
            OK(look(&audit, &(struct made){.sequence = 6, .token = sf_str("t")}));
        if (i != 1)
            OK(token(&audit, i == 2 ? 7 : 6, SFI_OUTSIDE_NUMBER));
        REFUSED(sfi_audit_timers(&audit, 10), SF_ECORRUPT);
        SAYS("do not belong");
    }
}

static void a_schedule_that_was_cut_or_has_another_form_is_found(void **state)
{
    unsigned char slot[200] = {0}, large[17] = {1}, name[SFI_TIMER_NAME_MAX];
    struct sfi_timer timer = {.form = SFI_EVERY, .due_ms = 77, .sequence = 3, .row_due_ms = 70,
                              .row_sequence = 2, .period_ms = 7};
    sf_bytes called = sfi_timer_name(name, sf_str("kind"), sf_str("key"));
    sf_bytes record = sfi_timer_encode(&timer, slot + 5 + called.size);
    size_t size = 5 + called.size + record.size;
    (void)state;
    sfi_le16_put(slot + 1, (uint16_t)called.size);
    sfi_le16_put(slot + 3, (uint16_t)record.size);
    memcpy(slot + 5, called.data, called.size);
    OK(sfi_audit_schedule(SF_BYTES(slot, size)));
    for (size_t cut = 2; cut < size; cut++)
        REFUSED(sfi_audit_schedule(SF_BYTES(slot, cut)), SF_ECORRUPT);
    slot[5 + called.size] = 5; /* a form that is not known */
    REFUSED(sfi_audit_schedule(SF_BYTES(slot, size)), SF_ENEWER);
    OK(sfi_audit_schedule(SF_BYTES(large, 17)));
    REFUSED(sfi_audit_schedule(SF_BYTES(large, 16)), SF_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_rows_are_whole),
        cmocka_unit_test(rows_that_lie_are_found),
        cmocka_unit_test(a_token_without_its_message_and_a_message_without_its_token_are_found),
        cmocka_unit_test(a_schedule_that_was_cut_or_has_another_form_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
