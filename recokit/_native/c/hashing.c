/* Counter-based random numbers by SplitMix64 (Steele, Lea and Flood, 2014). */
#include "common.h"

static inline uint64_t mix(uint64_t value) {
    uint64_t z = value + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

RK_EXPORT void rk_row_seeds(uint64_t seed, const int64_t *user, int64_t n, uint64_t *out) {
    uint64_t base = mix(seed);
    for (int64_t i = 0; i < n; i++) out[i] = mix(base ^ mix((uint64_t)user[i]));
}

/* 52 bits and a half are exact in a double: never 0, never rounded to 1. */
RK_EXPORT void rk_uniform(const uint64_t *seed, const int64_t *counter, int64_t n, int64_t stream, double *out) {
    uint64_t salt = (uint64_t)stream << 48;
    for (int64_t i = 0; i < n; i++)
        out[i] = ((double)(mix(seed[i] ^ mix((uint64_t)counter[i] ^ salt)) >> 12) + 0.5) * 0x1p-52;
}
