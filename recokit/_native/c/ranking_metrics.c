/* Which items of ranked lists are relevant. Most are not: bits of the row's relevant items, by hash, say so at once of
 * all but one in sixteen. */
#include "common.h"

static inline uint64_t hash(int64_t item, int shift) { return ((uint64_t)item * 0x9E3779B97F4A7C15u) >> shift; }

static int rising(const int64_t *offsets, int64_t rows, int64_t n) {
    if (offsets[0] != 0 || offsets[rows] != n) return 0;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row] > offsets[row + 1]) return 0;
    return 1;
}

/* Digits of the hash for so many items: sixteen bits each, 64 at least. */
static int digits(int64_t n) {
    int found = 6;
    while (found < 58 && ((int64_t)1 << found) < 16 * n) found++;
    return found;
}

/* Where an item is among n that ascend, or -1. */
static int64_t locate(const int64_t *items, int64_t n, int64_t item) {
    const int64_t *base = items;
    for (; n > 1; n -= n / 2) base += (base[n / 2 - 1] < item) * (n / 2);
    return n == 1 && *base == item ? base - items : -1;
}

/* Set the bits of a row's items, which ascend, each once but for 0. */
static int mark(const int64_t *items, int64_t n, int shift, uint64_t *bits) {
    memset(bits, 0, ((size_t)1 << (64 - shift)) / 8);
    for (int64_t i = 0; i < n; i++) {
        if (items[i] < 0 || (i > 0 && (items[i] < items[i - 1] || (items[i] == items[i - 1] && items[i] > 0)))) return 0;
        uint64_t at = hash(items[i], shift);
        bits[at >> 6] |= (uint64_t)1 << (at & 63);
    }
    return 1;
}

static int64_t hits_of_rows(const int64_t *offsets, int64_t rows, const int64_t *item, const int64_t *truth_offsets,
                            const int64_t *truth, uint64_t *bits, _Bool *taken, int64_t *out_row, int64_t *out_rank,
                            int64_t *out_truth) {
    int64_t found = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t first = truth_offsets[row], n = truth_offsets[row + 1] - first;
        if (n <= 0) continue;
        int shift = 64 - digits(n);
        if (!mark(truth + first, n, shift, bits)) return RK_BAD_INDEX;
        memset(taken, 0, (size_t)n);
        for (int64_t i = offsets[row]; i < offsets[row + 1]; i++) {
            uint64_t at = hash(item[i], shift);
            if (item[i] <= 0 || !(bits[at >> 6] >> (at & 63) & 1)) continue;
            int64_t place = locate(truth + first, n, item[i]);
            if (place < 0 || taken[place]) continue;
            taken[place] = 1;
            out_row[found] = row;
            out_rank[found] = i - offsets[row] + 1;
            out_truth[found++] = first + place;
        }
    }
    return found;
}

RK_EXPORT int64_t rk_find_hits(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t n,
                               const int64_t *truth_offsets, const int64_t *truth, int64_t n_truth, int64_t *out_row,
                               int64_t *out_rank, int64_t *out_truth) {
    if (!rising(offsets, rows, n) || !rising(truth_offsets, rows, n_truth)) return RK_BAD_INDEX;
    int64_t most = 0;
    for (int64_t row = 0; row < rows; row++)
        if (truth_offsets[row + 1] - truth_offsets[row] > most) most = truth_offsets[row + 1] - truth_offsets[row];
    uint64_t *bits = malloc(((size_t)1 << digits(most)) / 8);
    _Bool *taken = malloc((size_t)most + 1);
    int64_t found = RK_NO_MEMORY;
    if (bits && taken)
        found = hits_of_rows(offsets, rows, item, truth_offsets, truth, bits, taken, out_row, out_rank, out_truth);
    free(bits);
    free(taken);
    return found;
}
