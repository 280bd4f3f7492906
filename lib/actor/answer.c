#include "actor/answer.h"

#include "base/copy.h"
#include "base/endian.h"
#include "base/err.h"

enum {
    OPERATION = 0,
    RESULT = 8,
    FLAGS = 12,
    REQUEST_SIZE = 16,
    REASON_SIZE = 20,
    HEAD_BYTES = 24,

    IS_AWAITED = 1,
    REQUEST_ABSENT = 2
};

size_t sfi_answer_size(const struct sfi_answer *answer)
{
    return HEAD_BYTES + answer->request.size + answer->reason.size + 1;
}

void sfi_answer_put(void *to, const struct sfi_answer *answer)
{
    unsigned char *at = to;
    sfi_le64_put(at + OPERATION, answer->operation);
    sfi_le32_put(at + RESULT, (uint32_t)answer->result);
    sfi_le32_put(at + FLAGS, (answer->is_awaited ? IS_AWAITED : 0u) |
                                 (answer->request.data ? 0u : REQUEST_ABSENT));
    sfi_le32_put(at + REQUEST_SIZE, (uint32_t)answer->request.size);
    sfi_le32_put(at + REASON_SIZE, (uint32_t)answer->reason.size);
    at += HEAD_BYTES;
    sfi_copy(at, answer->request.data, answer->request.size);
    at += answer->request.size;
    sfi_copy(at, answer->reason.data, answer->reason.size);
    at[answer->reason.size] = 0;
}

int sfi_answer_parse(sf_bytes bytes, struct sfi_answer *out)
{
    const unsigned char *at = bytes.data;
    if (bytes.size < HEAD_BYTES)
        return sfi_err(SF_ECORRUPT, "an answer on disk is cut short");
    uint32_t flags = sfi_le32_get(at + FLAGS);
    size_t request_size = sfi_le32_get(at + REQUEST_SIZE),
           reason_size = sfi_le32_get(at + REASON_SIZE);
    if (flags & ~(uint32_t)(IS_AWAITED | REQUEST_ABSENT))
        return sfi_err(SF_ENEWER, "an answer on disk has flags %#x, which this library does not know",
                       (unsigned)flags);
    if (bytes.size != HEAD_BYTES + request_size + reason_size + 1 || at[bytes.size - 1])
        return sfi_err(SF_ECORRUPT, "an answer on disk has %zu bytes, not what it says", bytes.size);
    const unsigned char *request = at + HEAD_BYTES;
    *out = (struct sfi_answer){
        .operation = sfi_le64_get(at + OPERATION),
        .result = (int)sfi_le32_get(at + RESULT),
        .is_awaited = (flags & IS_AWAITED) != 0,
        .request = flags & REQUEST_ABSENT ? SF_NONE : SF_BYTES(request, request_size),
        .reason = SF_BYTES(request + request_size, reason_size)};
    return 0;
}

int sfi_answer_is_awaited(const void *part)
{
    return (sfi_le32_get((const unsigned char *)part + FLAGS) & IS_AWAITED) != 0;
}

void sfi_answer_unawait(void *part)
{
    unsigned char *at = part;
    sfi_le32_put(at + FLAGS, sfi_le32_get(at + FLAGS) & ~(uint32_t)IS_AWAITED);
}
