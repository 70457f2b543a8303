/* The k best of each row, tile by tile: a min-heap of k a row that stays from tile to tile, and a scan that skips
 * blocks in which nothing beats its smallest. */
#include "vectors.h"

#define BLOCK (8 * RK_FLOATS)

/* A is worse than b: lower score, or the same further to the right. */
static inline int worse(float a, int64_t at_a, float b, int64_t at_b) {
    return a < b || (a == b && at_a > at_b);
}

/* Restore the heap (worst at the top) below place i. */
static void sift_down(float *score, int64_t *column, int64_t size, int64_t i) {
    float value = score[i];
    int64_t at = column[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= size) break;
        if (child + 1 < size && worse(score[child + 1], column[child + 1], score[child], column[child])) child++;
        if (!worse(score[child], column[child], value, at)) break;
        score[i] = score[child];
        column[i] = column[child];
        i = child;
    }
    score[i] = value;
    column[i] = at;
}

static void make_heap(float *score, int64_t *column, int64_t size) {
    for (int64_t node = size / 2 - 1; node >= 0; node--) sift_down(score, column, size, node);
}

static void sort_best_first(float *score, int64_t *column, int64_t size) {
    for (int64_t end = size - 1; end > 0; end--) {
        float value = score[0];
        int64_t at = column[0];
        score[0] = score[end];
        column[0] = column[end];
        score[end] = value;
        column[end] = at;
        sift_down(score, column, end, 0);
    }
}

static inline int any_above(const float *scores, float floor) {
    rk_ints found = {0};
    for (int i = 0; i < BLOCK; i += RK_FLOATS) {
        rk_floats x;
        RK_LOAD(x, scores + i);
        found |= x > floor;
    }
    uint64_t words[RK_VECTOR_BYTES / 8], any = 0;
    memcpy(words, &found, RK_VECTOR_BYTES);
    for (int i = 0; i < RK_VECTOR_BYTES / 8; i++) any |= words[i];
    return any != 0;
}

/* Offer a row's scores of the columns from start on; a heap is one only when it is full. */
static int64_t offer(const float *row, int64_t width, int64_t start, const _Bool *usable, int64_t k, int64_t size,
                     float *score, int64_t *column) {
    for (int64_t i = 0; i < width;) {
        /* A tie with the worst that is kept loses: it stands further to the right. */
        float floor = size < k ? -INFINITY : score[0];
        if (i + BLOCK <= width && !any_above(row + i, floor)) {
            i += BLOCK;
            continue;
        }
        int64_t end = i + BLOCK < width ? i + BLOCK : width;
        for (; i < end; i++) {
            if (!(row[i] > floor) || row[i] == INFINITY || (usable && !usable[start + i])) continue;
            int64_t at = size < k ? size : 0;
            score[at] = row[i];
            column[at] = start + i;
            if (size < k && ++size == k)
                make_heap(score, column, k);
            else if (size == k)
                sift_down(score, column, k, 0);
            if (size == k) floor = score[0];
        }
    }
    return size;
}

RK_EXPORT int rk_top_k_tile(float *scores, int64_t rows, int64_t width, int64_t start, const _Bool *usable,
                            const int64_t *out_offsets, const int64_t *out_item, int64_t n_out, int64_t k, int last,
                            int64_t *column, float *score, int64_t *size) {
    if (k < 1) return 0;
    for (int64_t r = 0; r < rows; r++) {
        float *row = scores + r * width;
        if (size[r] < 0 || size[r] > k) return RK_BAD_INDEX;
        if (out_offsets) {
            if (out_offsets[r] < 0 || out_offsets[r + 1] > n_out) return RK_BAD_INDEX;
            for (int64_t i = out_offsets[r]; i < out_offsets[r + 1]; i++)
                if (out_item[i] >= start && out_item[i] < start + width) row[out_item[i] - start] = -INFINITY;
        }
        size[r] = offer(row, width, start, usable, k, size[r], score + r * k, column + r * k);
        if (!last) continue;
        if (size[r] < k) make_heap(score + r * k, column + r * k, size[r]);
        sort_best_first(score + r * k, column + r * k, size[r]);
    }
    return 0;
}
