/* The best candidates of each row, best first: scores that are not finite last, ties by position. */
#include "common.h"

/* A number that is the smaller the better the score; positions below it break ties. */
static inline uint64_t key_of(float score, int64_t position) {
    uint32_t bits = 0xffffffffu;
    if (isfinite(score)) {
        float value = score + 0.0f; /* a negative zero is zero */
        memcpy(&bits, &value, sizeof bits);
        bits = bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
    }
    return (uint64_t)bits << 32 | (uint64_t)position;
}

/* Restore the heap, largest at the top, below place i. */
static void sift_down(uint64_t *heap, int64_t size, int64_t i) {
    uint64_t value = heap[i];
    for (int64_t child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= value) break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

/* Sort by the upper half, byte by byte; keys stand in the order of the lower half before. */
static void sort_keys(uint64_t *keys, uint64_t *spare, int64_t n) {
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t start[257] = {0};
        for (int64_t i = 0; i < n; i++) start[(keys[i] >> shift & 255) + 1]++;
        if (n > 0 && start[(keys[0] >> shift & 255) + 1] == n) continue;
        for (int byte = 0; byte < 256; byte++) start[byte + 1] += start[byte];
        for (int64_t i = 0; i < n; i++) spare[start[keys[i] >> shift & 255]++] = keys[i];
        memcpy(keys, spare, (size_t)n * sizeof(uint64_t));
    }
}

/* Put the keys of the best `kept` of n scores into keys, best first. */
static void best_keys(const float *score, int64_t n, int64_t kept, uint64_t *keys, uint64_t *spare) {
    for (int64_t i = 0; i < kept; i++) keys[i] = key_of(score[i], i);
    if (kept > 0 && kept < n) {
        for (int64_t node = kept / 2 - 1; node >= 0; node--) sift_down(keys, kept, node);
        for (int64_t i = kept; i < n; i++) {
            uint64_t key = key_of(score[i], i);
            if (key >= keys[0]) continue;
            keys[0] = key;
            sift_down(keys, kept, 0);
        }
        for (int64_t end = kept - 1; end > 0; end--) {
            uint64_t largest = keys[0];
            keys[0] = keys[end];
            keys[end] = largest;
            sift_down(keys, end, 0);
        }
        return;
    }
    sort_keys(keys, spare, kept);
}

/* Scores scaled to 0..1 within their row; all equal give 1, what is not finite 0. */
static void scale(const float *score, int64_t n, float *relevance) {
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(score[i])) continue;
        if (score[i] < low) low = score[i];
        if (score[i] > high) high = score[i];
    }
    float spread = high - low;
    for (int64_t i = 0; i < n; i++) {
        int finite = isfinite(score[i]);
        relevance[i] = spread > 0 ? ((finite ? score[i] : low) - low) / spread : (float)finite;
    }
}

RK_EXPORT int rk_slate_window(const float *score, int64_t n, const int64_t *offsets, int64_t rows,
                              const int64_t *width, int64_t places, int64_t *index, _Bool *valid,
                              float *relevance) {
    int64_t largest = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (offsets[row] < 0 || offsets[row] > offsets[row + 1] || offsets[row + 1] > n) return RK_BAD_INDEX;
        int64_t count = offsets[row + 1] - offsets[row];
        if (count > UINT32_MAX) return RK_BAD_INDEX;
        if (width[row] < count) count = width[row];
        if (count > places) return RK_BAD_INDEX;
        if (count > largest) largest = count;
    }
    uint64_t *keys = malloc((size_t)(2 * largest + 1) * sizeof(uint64_t));
    float *found = malloc((size_t)(largest + 1) * sizeof(float));
    for (int64_t row = 0; row < rows && keys && found; row++) {
        int64_t first = offsets[row], count = offsets[row + 1] - first;
        int64_t kept = width[row] < count ? (width[row] > 0 ? width[row] : 0) : count;
        best_keys(score + first, count, kept, keys, keys + largest);
        for (int64_t i = 0; i < places; i++) {
            index[row * places + i] = i < kept ? first + (int64_t)(keys[i] & 0xffffffffu) : 0;
            valid[row * places + i] = i < kept;
            relevance[row * places + i] = 0;
        }
        for (int64_t i = 0; i < kept; i++) found[i] = score[index[row * places + i]];
        scale(found, kept, relevance + row * places);
    }
    int status = keys && found ? 0 : RK_NO_MEMORY;
    free(keys);
    free(found);
    return status;
}
