/* One half sweep of weighted matrix factorisation: a few steps of conjugate gradients for each row, from where it stands
 * (Takacs, Pilaszy and Tikk, 2011), preconditioned by the diagonal. In the eigenbasis of the columns' Gram matrix all
 * but the row's own cells is diagonal, so a step costs what its cells do.
 *
 * Sums have 16 lanes at every level, so that every level gives the same bits. */
#include "vectors.h"

#define LANES 16
#define PARTS (LANES / RK_FLOATS)

static inline float lane_sum(const rk_floats *part) {
    float lane[LANES];
    memcpy(lane, part, sizeof lane);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

static inline float dot(const float *a, const float *b, int64_t width) {
    rk_floats sum[PARTS] = {{0}};
    for (int64_t i = 0; i < width; i += LANES)
        for (int p = 0; p < PARTS; p++) {
            rk_floats x, y;
            RK_LOAD(x, a + i + p * RK_FLOATS);
            RK_LOAD(y, b + i + p * RK_FLOATS);
            sum[p] += x * y;
        }
    return lane_sum(sum);
}

/* to += scale * a */
static inline void add(float *to, float scale, const float *a, int64_t width) {
    for (int64_t i = 0; i < width; i += RK_FLOATS) {
        rk_floats x, y;
        RK_LOAD(x, to + i);
        RK_LOAD(y, a + i);
        x += scale * y;
        RK_STORE(to + i, x);
    }
}

typedef struct {
    int64_t n, width;
    const int32_t *column;
    const float *weight, *vectors, *spread;
    float ridge;
} system_of_row;

/* to = (diagonal + sum of weight * vector vector') direction */
static void apply(const system_of_row *s, const float *direction, float *to) {
    for (int64_t j = 0; j < s->width; j++) to[j] = (s->spread[j] + s->ridge) * direction[j];
    for (int64_t i = 0; i < s->n; i++) {
        const float *vector = s->vectors + (int64_t)s->column[i] * s->width;
        add(to, s->weight[i] * dot(vector, direction, s->width), vector, s->width);
    }
}

/* scratch: five arrays of the width. */
static void descend(const system_of_row *s, int64_t steps, float *x, float *scratch) {
    int64_t width = s->width;
    float *rest = scratch, *scale = rest + width, *direction = scale + width, *applied = direction + width,
          *scaled = applied + width;
    apply(s, x, applied);
    for (int64_t j = 0; j < width; j++) {
        rest[j] = -applied[j];
        scale[j] = s->spread[j] + s->ridge;
    }
    for (int64_t i = 0; i < s->n; i++) {
        const float *vector = s->vectors + (int64_t)s->column[i] * width;
        add(rest, s->weight[i], vector, width);
        for (int64_t j = 0; j < width; j++) scale[j] += s->weight[i] * (vector[j] * vector[j]);
    }
    for (int64_t j = 0; j < width; j++) direction[j] = rest[j] / scale[j];
    float size = dot(rest, direction, width);
    for (int64_t step = 0; step < steps && size > 0x1p-100f; step++) {
        apply(s, direction, applied);
        float length = size / dot(direction, applied, width);
        add(x, length, direction, width);
        add(rest, -length, applied, width);
        for (int64_t j = 0; j < width; j++) scaled[j] = rest[j] / scale[j];
        float next = dot(rest, scaled, width);
        for (int64_t j = 0; j < width; j++) direction[j] = scaled[j] + next / size * direction[j];
        size = next;
    }
}

RK_EXPORT int rk_als_rows(int64_t start, int64_t stop, const int64_t *offsets, const int32_t *column,
                          const float *weight, const float *vectors, int64_t width, const float *spread,
                          const float *ridge, int64_t steps, float *factors) {
    if (width % LANES) return RK_BAD_INDEX;
    float *scratch = malloc((size_t)(5 * width + 1) * sizeof(float));
    if (!scratch) return RK_NO_MEMORY;
    for (int64_t row = start; row < stop; row++) {
        int64_t first = offsets[row], n = offsets[row + 1] - first;
        system_of_row s = {n, width, column + first, weight + first, vectors, spread, ridge[row]};
        if (n) descend(&s, steps, factors + row * width, scratch);
    }
    free(scratch);
    return 0;
}
