/* A user's own items: their decayed weights summed, and the best of short lists. */
#include "common.h"

/* Numbers of one row's items by a table of open addresses, at least twice as large as the row. */
static inline uint64_t place_of(const int32_t *table, int shift, const int64_t *items, int64_t item) {
    uint64_t mask = UINT64_MAX >> shift, at = ((uint64_t)item * 0x9E3779B97F4A7C15u) >> shift;
    while (table[at] >= 0 && items[table[at]] != item) at = (at + 1) & mask;
    return at;
}

static double newest_of(const double *time, const int64_t *item, int64_t n) {
    double newest = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (item[i] > 0 && time[i] > newest) newest = time[i];
    return newest;
}

static double weight_at(const float *weight, const double *time, int64_t i, double newest, double half_life) {
    double left = weight && !isnan(weight[i]) ? (double)weight[i] : 1.0;
    if (!time || !(half_life > 0)) return left;
    double age = newest - time[i];
    return age > 0 ? left * exp2(-age / half_life) : left;
}

/* The last event of an item comes first: walk back to find the items, then forth to sum. */
static int64_t row_of_items(int64_t n, const int64_t *item, const float *weight, const double *time, double half_life,
                            int32_t *table, int64_t *out_item, double *out_weight) {
    int bits = 3;
    while (((int64_t)1 << bits) < 2 * n) bits++;
    memset(table, 0xff, sizeof *table << bits);
    int64_t found = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        if (item[i] <= 0) continue;
        uint64_t at = place_of(table, 64 - bits, out_item, item[i]);
        if (table[at] >= 0) continue;
        out_item[found] = item[i];
        out_weight[found] = 0;
        table[at] = (int32_t)found++;
    }
    double newest = time ? newest_of(time, item, n) : 0;
    for (int64_t i = 0; i < n; i++)
        if (item[i] > 0)
            out_weight[table[place_of(table, 64 - bits, out_item, item[i])]] +=
                weight_at(weight, time, i, newest, half_life);
    return found;
}

RK_EXPORT int rk_weighted_items(const int64_t *offsets, int64_t rows, int64_t n, const int64_t *item,
                                const float *weight, const double *time, double half_life, int64_t *out_offsets,
                                int64_t *out_item, double *out_weight) {
    int64_t most = 0;
    if (offsets[0] != 0 || offsets[rows] != n) return RK_BAD_INDEX;
    for (int64_t row = 0; row < rows; row++) {
        if (offsets[row] > offsets[row + 1] || offsets[row + 1] > n) return RK_BAD_INDEX;
        if (offsets[row + 1] - offsets[row] > most) most = offsets[row + 1] - offsets[row];
    }
    if (most > INT32_MAX / 8) return RK_BAD_INDEX;
    int32_t *table = malloc((size_t)(4 * most + 8) * sizeof *table);
    if (!table) return RK_NO_MEMORY;
    int64_t out = out_offsets[0] = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t from = offsets[row];
        out += row_of_items(offsets[row + 1] - from, item + from, weight ? weight + from : NULL,
                            time ? time + from : NULL, half_life, table, out_item + out, out_weight + out);
        out_offsets[row + 1] = out;
    }
    free(table);
    return 0;
}

typedef struct {
    float score;
    int64_t code;
} Scored;

static int best_first(const void *left, const void *right) {
    const Scored *a = left, *b = right;
    int finite_a = isfinite(a->score), finite_b = isfinite(b->score);
    if (finite_a != finite_b) return finite_a ? -1 : 1;
    if (finite_a && a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->code < b->code ? -1 : a->code > b->code;
}

RK_EXPORT int rk_top_by_score(const int64_t *offsets, int64_t rows, int64_t n, const float *score,
                              const int64_t *code, int64_t k, int64_t *out_offsets, int64_t *out_code,
                              float *out_score) {
    if (offsets[0] != 0 || offsets[rows] != n) return RK_BAD_INDEX;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row] > offsets[row + 1]) return RK_BAD_INDEX;
    Scored *all = malloc((size_t)(n + 1) * sizeof *all);
    if (!all) return RK_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) all[i] = (Scored){score[i], code[i]};
    int64_t out = out_offsets[0] = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t from = offsets[row], length = offsets[row + 1] - from;
        qsort(all + from, (size_t)length, sizeof *all, best_first);
        for (int64_t i = 0; i < length && i < k; i++, out++) {
            out_code[out] = all[from + i].code;
            out_score[out] = isfinite(all[from + i].score) ? all[from + i].score + 0.0f : NAN;
        }
        out_offsets[row + 1] = out;
    }
    free(all);
    return 0;
}
