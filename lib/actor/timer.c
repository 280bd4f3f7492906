#include "actor/timer.h"

#include <string.h>

#include "actor/cron.h"
#include "base/copy.h"
#include "base/endian.h"
#include "base/err.h"

enum { MOVED = 0x80, HEAD_BYTES = 17, ROW_BYTES = 16 };

_Static_assert((int)SFI_TIMER_RECORD_MAX == HEAD_BYTES + ROW_BYTES + SFI_CRON_TEXT_MAX,
               "the largest one");

sf_bytes sfi_timer_name(unsigned char *out, sf_bytes kind, sf_bytes key)
{
    out[0] = 1;
    sfi_copy(out + 1, kind.data, kind.size);
    out[1 + kind.size] = 0;
    sfi_copy(out + 2 + kind.size, key.data, key.size);
    return SF_BYTES(out, 2 + kind.size + key.size);
}

sf_bytes sfi_token_name(unsigned char *out, sf_bytes token)
{
    out[0] = 0;
    sfi_copy(out + 1, token.data, token.size);
    return SF_BYTES(out, 1 + token.size);
}

static unsigned char *put_pair(unsigned char *at, uint64_t due_ms, uint64_t sequence)
{
    sfi_le64_put(at, due_ms);
    sfi_le64_put(at + 8, sequence);
    return at + 16;
}

sf_bytes sfi_timer_encode(const struct sfi_timer *timer, unsigned char *out)
{
    int moved = timer->row_sequence != timer->sequence;
    out[0] = (unsigned char)(timer->form | (moved ? MOVED : 0));
    unsigned char *at = put_pair(out + 1, timer->due_ms, timer->sequence);
    if (moved)
        at = put_pair(at, timer->row_due_ms, timer->row_sequence);
    if (timer->form == SFI_EVERY) {
        sfi_le64_put(at, timer->period_ms);
        at += 8;
    } else if (timer->form == SFI_CRON) {
        sfi_copy(at, timer->cron.data, timer->cron.size);
        at += timer->cron.size;
    }
    return SF_BYTES(out, (size_t)(at - out));
}

/* What a form has beyond the two pairs. */
static int decode_rest(sf_bytes rest, struct sfi_timer *out)
{
    int fits = out->form == SFI_EVERY  ? rest.size == 8
               : out->form == SFI_CRON ? rest.size > 0 && rest.size <= SFI_CRON_TEXT_MAX
                                       : rest.size == 0;
    if (!fits)
        return sfi_err(SF_ECORRUPT, "a timer on disk has %zu bytes too many or too few", rest.size);
    if (out->form == SFI_EVERY)
        out->period_ms = sfi_le64_get(rest.data);
    if (out->form == SFI_CRON)
        out->cron = rest;
    return 0;
}

int sfi_timer_decode(sf_bytes record, struct sfi_timer *out)
{
    const unsigned char *at = record.data;
    unsigned form = record.size ? at[0] & ~(unsigned)MOVED : 0;
    size_t head = record.size && at[0] & MOVED ? HEAD_BYTES + ROW_BYTES : HEAD_BYTES;
    if (form > SFI_CRON)
        return sfi_err(SF_ENEWER, "a timer on disk has form %u, which this library does not know",
                       form);
    if (form == 0 || record.size < head)
        return sfi_err(SF_ECORRUPT, "a timer on disk is cut short");
    *out = (struct sfi_timer){.form = (enum sfi_timer_form)form};
    out->due_ms = out->row_due_ms = sfi_le64_get(at + 1);
    out->sequence = out->row_sequence = sfi_le64_get(at + 9);
    if (at[0] & MOVED) {
        out->row_due_ms = sfi_le64_get(at + 17);
        out->row_sequence = sfi_le64_get(at + 25);
    }
    return decode_rest(SF_BYTES(at + head, record.size - head), out);
}

int sfi_timer_goes_on(const struct sfi_timer *timer, const struct sfi_timer *wanted)
{
    if (timer->form != wanted->form)
        return 0;
    if (timer->form == SFI_EVERY)
        return timer->period_ms == wanted->period_ms;
    return timer->form == SFI_CRON && timer->cron.size == wanted->cron.size &&
           memcmp(timer->cron.data, wanted->cron.data, wanted->cron.size) == 0;
}

uint64_t sfi_timer_next(const struct sfi_timer *timer, uint64_t now_ms)
{
    struct sfi_cron cron;
    /* Past its own time too: a clock that is set back brings no second tick. */
    if (timer->form == SFI_CRON)
        return sfi_cron_parse(timer->cron, &cron) < 0
                   ? 0
                   : sfi_cron_next(&cron, now_ms > timer->due_ms ? now_ms : timer->due_ms);
    if (timer->form != SFI_EVERY || timer->period_ms == 0)
        return 0;
    uint64_t missed = now_ms > timer->due_ms ? (now_ms - timer->due_ms) / timer->period_ms : 0;
    uint64_t due_ms = timer->due_ms + (missed + 1) * timer->period_ms;
    return due_ms <= SFI_DUE_MAX_MS ? due_ms : 0;
}
