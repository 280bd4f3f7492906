/* hash.h - SipHash-1-3 with a secret key, for tables whose keys strangers choose.
 * After Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012); 1 and 3 rounds as in the
 * hash tables of Rust and Ruby. */
#ifndef SFI_BASE_HASH_H
#define SFI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct sfi_hash_key {
    uint64_t low, high;
};

/* `seed` is mixed into the key, so that equal bytes in different namespaces differ.  Each namespace has a key of its
 * own thereby: who finds a relation of such keys makes no more collide than there are namespaces. */
uint64_t sfi_hash(const struct sfi_hash_key *key, uint64_t seed, const void *data, size_t size);

#endif
