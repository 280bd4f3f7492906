/* endian.h - numbers as bytes, wherever they lie.
 *
 * Little-endian inside values, big-endian inside keys, so that byte order is number order.  No
 * alignment is assumed; compilers turn each of these into one or two instructions. */
#ifndef SFI_BASE_ENDIAN_H
#define SFI_BASE_ENDIAN_H

#include <stdint.h>

static inline uint16_t sfi_le16_get(const void *from)
{
    const unsigned char *in = from;
    return (uint16_t)(in[0] | in[1] << 8);
}

static inline uint32_t sfi_le32_get(const void *from)
{
    const unsigned char *in = from;
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static inline uint64_t sfi_le64_get(const void *from)
{
    const unsigned char *in = from;
    return (uint64_t)sfi_le32_get(in) | (uint64_t)sfi_le32_get(in + 4) << 32;
}

static inline void sfi_le16_put(void *to, uint16_t number)
{
    unsigned char *out = to;
    out[0] = (unsigned char)number;
    out[1] = (unsigned char)(number >> 8);
}

static inline void sfi_le32_put(void *to, uint32_t number)
{
    unsigned char *out = to;
    out[0] = (unsigned char)number;
    out[1] = (unsigned char)(number >> 8);
    out[2] = (unsigned char)(number >> 16);
    out[3] = (unsigned char)(number >> 24);
}

static inline void sfi_le64_put(void *to, uint64_t number)
{
    unsigned char *out = to;
    sfi_le32_put(out, (uint32_t)number);
    sfi_le32_put(out + 4, (uint32_t)(number >> 32));
}

static inline uint32_t sfi_be32_get(const void *from)
{
    const unsigned char *in = from;
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | (uint32_t)in[3];
}

static inline uint64_t sfi_be64_get(const void *from)
{
    const unsigned char *in = from;
    return (uint64_t)sfi_be32_get(in) << 32 | (uint64_t)sfi_be32_get(in + 4);
}

static inline void sfi_be32_put(void *to, uint32_t number)
{
    unsigned char *out = to;
    out[0] = (unsigned char)(number >> 24);
    out[1] = (unsigned char)(number >> 16);
    out[2] = (unsigned char)(number >> 8);
    out[3] = (unsigned char)number;
}

static inline void sfi_be64_put(void *to, uint64_t number)
{
    unsigned char *out = to;
    sfi_be32_put(out, (uint32_t)(number >> 32));
    sfi_be32_put(out + 4, (uint32_t)number);
}

#endif
