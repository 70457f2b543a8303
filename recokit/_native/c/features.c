/* Features that are read rather than computed, each block written into its columns of a wider matrix. */
#include "common.h"

/* Rows so far ahead are asked for while one is copied: a table of many items lies far from the processor. */
#define AHEAD 8

RK_EXPORT int rk_take_rows(const float *table, int64_t n_rows, int64_t width, const int64_t *index, int64_t n,
                           float *out, int64_t stride, int64_t start) {
    if (start < 0 || start + width > stride) return RK_BAD_INDEX;
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= n_rows) return RK_BAD_INDEX;
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            const char *next = (const char *)(table + index[i + AHEAD] * width);
            for (int64_t byte = 0; byte < width * (int64_t)sizeof *table && byte < 256; byte += 64)
                __builtin_prefetch(next + byte);
        }
        memcpy(out + i * stride + start, table + index[i] * width, (size_t)width * sizeof *table);
    }
    return 0;
}

/* The lowest finite score of a list, and what the others are divided by; where all are equal they are the best. */
static void scale_of(const float *score, int64_t n, double *low, double *width) {
    double lowest = INFINITY, highest = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(score[i])) continue;
        if (score[i] < lowest) lowest = score[i];
        if (score[i] > highest) highest = score[i];
    }
    *low = lowest == highest ? lowest - 1.0 : lowest;
    *width = lowest == highest ? 1.0 : highest - lowest;
}

RK_EXPORT int rk_source_features(const float **rank, const float **score, int64_t n_sources, const int64_t *offsets,
                                 int64_t rows, int64_t n, float *out, int64_t stride, int64_t start) {
    int counts = n_sources > 1;
    if (n_sources < 0 || n_sources > 64 || start < 0 || start + 2 * n_sources + counts > stride) return RK_BAD_INDEX;
    if (offsets[0] != 0 || offsets[rows] != n) return RK_BAD_INDEX;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row] > offsets[row + 1]) return RK_BAD_INDEX;
    double low[64], width[64];
    for (int64_t row = 0; row < rows; row++) {
        int64_t from = offsets[row], end = offsets[row + 1];
        for (int64_t source = 0; source < n_sources; source++)
            scale_of(score[source] + from, end - from, &low[source], &width[source]);
        for (int64_t i = from; i < end; i++) {
            float *to = out + i * stride + start, found = 0;
            for (int64_t source = 0; source < n_sources; source++) {
                float place = rank[source][i], value = score[source][i];
                int here = !isnan(place);
                found += (float)here;
                *to++ = here ? 1.0f / place : 0.0f;
                *to++ = isfinite(value) ? (float)((value - low[source]) / width[source]) : NAN;
            }
            if (counts) *to = found;
        }
    }
    return 0;
}
