/* Weighted sums of rows. They are added in the order of numpy's pairwise sums, so that both forms give equal bits. */
#include "common.h"

static float sum_of(const float *x, int64_t n) {
    if (n < 8) {
        float total = 0;
        for (int64_t i = 0; i < n; i++) total += x[i];
        return total;
    }
    if (n > 128) {
        int64_t half = n / 2 - n / 2 % 8;
        return sum_of(x, half) + sum_of(x + half, n - half);
    }
    float part[8];
    for (int lane = 0; lane < 8; lane++) part[lane] = x[lane];
    int64_t i = 8;
    for (; i + 8 <= n; i += 8)
        for (int lane = 0; lane < 8; lane++) part[lane] += x[i + lane];
    float total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    for (; i < n; i++) total += x[i];
    return total;
}

RK_EXPORT int rk_weighted_sums(const float *rows, int64_t n, int64_t width, const int64_t *place, const float *weight,
                               int64_t n_weights, float *out) {
    for (int64_t i = 0; i < n_weights; i++)
        if (place[i] < 0 || place[i] >= width) return RK_BAD_INDEX;
    int in_order = 1;
    for (int64_t i = 1; i < n_weights; i++) in_order &= place[i] == place[0] + i;
    float *product = malloc((size_t)(n_weights + 1) * sizeof *product);
    if (!product) return RK_NO_MEMORY;
    for (int64_t row = 0; row < n; row++) {
        const float *x = rows + row * width;
        if (in_order && n_weights)
            for (int64_t i = 0; i < n_weights; i++) product[i] = x[place[0] + i] * weight[i];
        else
            for (int64_t i = 0; i < n_weights; i++) product[i] = x[place[i]] * weight[i];
        for (int64_t i = 0; i < n_weights; i++) product[i] = product[i] == product[i] ? product[i] : 0.0f;
        out[row] = sum_of(product, n_weights);
    }
    free(product);
    return 0;
}
