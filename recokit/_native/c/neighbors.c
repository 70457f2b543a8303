/* The best of each row of a sparse product, which is never built: one row at a time in a dense array of sums, with a list
 * of the columns that the row reaches (Gustavson, 1978).
 *
 * A similarity above 0 and its column are one key of 64 bits, larger the better: the bits of positive numbers ascend as
 * the numbers do, and of equal ones the smaller column wins. Selecting and sorting keys takes no branches that depend on
 * them. */
#include "common.h"

typedef struct {
    const int64_t *offsets;
    const int32_t *column;
    const float *value;
} csr;

/* Sum up a row of left @ right; return how many columns it reaches. The list has room for one more. */
static int64_t add_up(csr left, csr right, int64_t row, float *sum, _Bool *reached, int32_t *list) {
    int64_t n = 0;
    for (int64_t i = left.offsets[row]; i < left.offsets[row + 1]; i++) {
        int32_t middle = left.column[i];
        float weight = left.value[i];
        for (int64_t j = right.offsets[middle]; j < right.offsets[middle + 1]; j++) {
            int32_t column = right.column[j];
            list[n] = column;
            n += !reached[column];
            reached[column] = 1;
            sum[column] += weight * right.value[j];
        }
    }
    return n;
}

static uint64_t key_of(float similarity, int32_t column) {
    uint32_t bits;
    memcpy(&bits, &similarity, sizeof bits);
    return (uint64_t)bits << 32 | (uint32_t)~column;
}

/* Bring the k largest of n distinct keys to the front, by partitions around pivots drawn at random. */
static void select_largest(uint64_t *key, int64_t n, int64_t k) {
    uint64_t draw = 0x9E3779B97F4A7C15u;
    int64_t first = 0, last = n;
    while (last - first > 1 && first < k) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        int64_t at = first + (int64_t)((draw >> 33) % (uint64_t)(last - first));
        uint64_t pivot = key[at];
        key[at] = key[last - 1];
        int64_t larger = first;
        for (int64_t i = first; i < last - 1; i++) {
            uint64_t mine = key[i];
            key[i] = key[larger];
            key[larger] = mine;
            larger += mine > pivot;
        }
        key[last - 1] = key[larger];
        key[larger] = pivot;
        if (larger < k)
            first = larger + 1;
        else
            last = larger;
    }
}

/* Sort n keys, the largest first, by merging runs; return where they are: in key or in spare. */
static uint64_t *sort_descending(uint64_t *key, uint64_t *spare, int64_t n) {
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t start = 0; start < n; start += 2 * run) {
            int64_t middle = start + run < n ? start + run : n, end = middle + run < n ? middle + run : n;
            int64_t a = start, b = middle, to = start;
            while (a < middle && b < end) {
                int first = key[a] > key[b];
                spare[to++] = first ? key[a] : key[b];
                a += first;
                b += !first;
            }
            while (a < middle) spare[to++] = key[a++];
            while (b < end) spare[to++] = key[b++];
        }
        uint64_t *sorted = spare;
        spare = key;
        key = sorted;
    }
    return key;
}

RK_EXPORT int rk_neighbors(int64_t start, int64_t stop, const int64_t *left_offsets, const int32_t *left_column,
                           const float *left_value, const int64_t *right_offsets, const int32_t *right_column,
                           const float *right_value, int64_t n_columns, const float *row_size,
                           const float *column_size, int add_sizes, float shrinkage, float least, int64_t k,
                           int64_t *neighbor, float *score, int64_t *count) {
    if (k < 0) k = 0;
    csr left = {left_offsets, left_column, left_value}, right = {right_offsets, right_column, right_value};
    size_t n_cells = (size_t)n_columns + 1;
    float *sum = calloc(n_cells, sizeof(float));
    _Bool *reached = calloc(n_cells, sizeof(_Bool));
    int32_t *list = malloc(n_cells * sizeof(int32_t));
    uint64_t *key = malloc(n_cells * sizeof(uint64_t)), *spare = malloc(n_cells * sizeof(uint64_t));
    int status = sum && reached && list && key && spare ? 0 : RK_NO_MEMORY;
    for (int64_t row = start; !status && row < stop; row++) {
        int64_t n = add_up(left, right, row, sum, reached, list), n_keys = 0;
        for (int64_t i = 0; i < n; i++) {
            int32_t column = list[i];
            float common = sum[column], mine = row_size[row], theirs = column_size[column];
            sum[column] = 0.0f;
            reached[column] = 0;
            float below = add_sizes ? mine + theirs - common : mine * theirs;
            float found = common / (below + shrinkage);
            key[n_keys] = key_of(found, column);
            /* Above 0, and finite. */
            n_keys += column != row && common >= least && found >= 0x1p-126f && found < INFINITY;
        }
        select_largest(key, n_keys, k);
        int64_t size = n_keys < k ? n_keys : k;
        uint64_t *best = sort_descending(key, spare, size);
        for (int64_t i = 0; i < size; i++) {
            uint32_t bits = (uint32_t)(best[i] >> 32);
            memcpy(score + (row - start) * k + i, &bits, sizeof bits);
            neighbor[(row - start) * k + i] = (int32_t) ~(uint32_t)best[i];
        }
        count[row - start] = size;
    }
    free(sum);
    free(reached);
    free(list);
    free(key);
    free(spare);
    return status;
}
