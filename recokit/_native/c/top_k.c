/* The k best of each row: a min-heap of k, and a scan that skips blocks in which nothing beats its smallest. */
#include "common.h"

#define BLOCK 16

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
    int found = 0;
    for (int i = 0; i < BLOCK; i++) found |= scores[i] > floor;
    return found;
}

static int64_t top_k_row(const float *row, int64_t width, int64_t k, float *score, int64_t *column) {
    int64_t size = 0, i = 0;
    for (; i < width && size < k; i++) {
        if (!isfinite(row[i])) continue;
        score[size] = row[i];
        column[size++] = i;
    }
    for (int64_t node = size / 2 - 1; node >= 0; node--) sift_down(score, column, size, node);
    /* A tie with the worst that is kept loses: it stands further to the right. */
    while (i < width) {
        if (i + BLOCK <= width && !any_above(row + i, score[0])) {
            i += BLOCK;
            continue;
        }
        int64_t end = i + BLOCK < width ? i + BLOCK : width;
        for (; i < end; i++) {
            if (!(row[i] > score[0]) || !isfinite(row[i])) continue;
            score[0] = row[i];
            column[0] = i;
            sift_down(score, column, size, 0);
        }
    }
    sort_best_first(score, column, size);
    return size;
}

RK_EXPORT int rk_top_k_rows(const float *scores, int64_t rows, int64_t width, int64_t stride, int64_t k,
                            int64_t *column, float *score, int64_t *count) {
    for (int64_t row = 0; row < rows; row++)
        count[row] = k > 0 ? top_k_row(scores + row * stride, width, k, score + row * k, column + row * k) : 0;
    return 0;
}
