#include "run/audit_timers.h"

#include "base/err.h"
#include "run/schedule.h"

int sfi_audit_timer(struct sfi_timer_audit *audit, sf_bytes key, sf_bytes value,
                    struct sfi_envelope *out)
{
    if (key.size != 16)
        return sfi_err(SF_ECORRUPT, "a timer has a key of %zu bytes", key.size);
    int rc = sfi_envelope_parse(key, value, SFI_RECORD_TIMER, out);
    if (rc < 0)
        return rc;
    uint64_t sequence = sfi_be64_get((const unsigned char *)key.data + 8);
    if (sequence > audit->newest)
        audit->newest = sequence;
    if (out->parts.has & SFI_PART_TIMER && out->parts.timer != sequence)
        return sfi_err(SF_ECORRUPT, "timer %llu says that it is %llu", (unsigned long long)sequence,
                       (unsigned long long)out->parts.timer);
    if (out->token.size && out->from_type == 0) {
        audit->rows++;
        audit->row_sum += sequence;
    }
    return 0;
}

int sfi_audit_token(struct sfi_timer_audit *audit, sf_bytes key, sf_bytes payload)
{
    struct sfi_timer timer;
    if (key.size < 9 || sfi_be64_get(key.data) != SFI_OUTSIDE_NUMBER)
        return 0;
    int rc = sfi_schedule_read_entry(payload, &timer);
    if (rc < 0)
        return rc;
    audit->tokens++;
    audit->token_sum += timer.row_sequence;
    return 0;
}

int sfi_audit_schedule(sf_bytes slot)
{
    return sfi_schedule_check(slot);
}

int sfi_audit_timers(const struct sfi_timer_audit *audit, uint64_t next)
{
    if (audit->newest && audit->newest >= next)
        return sfi_err(SF_ECORRUPT, "timer %llu was never given that number",
                       (unsigned long long)audit->newest);
    if (audit->tokens != audit->rows || audit->token_sum != audit->row_sum)
        return sfi_err(SF_ECORRUPT,
                       "%llu tokens of the outside do not belong to %llu messages to be sent",
                       (unsigned long long)audit->tokens, (unsigned long long)audit->rows);
    return 0;
}
