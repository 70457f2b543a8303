/* Shapley values of a forest (see recokit/_kernels/tree_shap.py for the formula), a vector of rows side by side.
 *
 * For each leaf and each point of the quadrature, the product over all path features but one comes from the products
 * of those before and of those after: no division. */
#include "vectors.h"

/* Whether each row is within the bounds of a leaf, or among its codes where it has some, 1.0 or 0.0. */
static void inside(const float *value, float above, float at_most, int missing, const _Bool *codes,
                   rk_doubles *there) {
    double in[RK_DOUBLES];
    for (int lane = 0; lane < RK_DOUBLES; lane++) {
        float x = value[lane];
        /* No lower bound is NaN, hence "not at most". */
        in[lane] = codes ? codes[(int64_t)x] : x != x ? missing : !(x <= above) && x <= at_most;
    }
    RK_LOAD(*there, in);
}

/* Add a leaf's share to the features of its path. before holds the products of the first factors, then the sums. */
static void add_leaf(int64_t depth, const rk_doubles *there, const double *share, double value, const double *point,
                     const double *weight, int64_t n_points, rk_doubles *before, rk_doubles *total) {
    for (int64_t j = 0; j < depth; j++) total[j] = (rk_doubles){0};
    for (int64_t q = 0; q < n_points; q++) {
        double t = point[q];
        rk_doubles product = (rk_doubles){0} + weight[q];
        for (int64_t j = 0; j < depth; j++) {
            before[j] = product;
            product *= there[j] * t + share[j] * (1.0 - t);
        }
        rk_doubles after = (rk_doubles){0} + 1.0;
        for (int64_t j = depth - 1; j >= 0; j--) {
            total[j] += before[j] * after;
            after *= there[j] * t + share[j] * (1.0 - t);
        }
    }
    for (int64_t j = 0; j < depth; j++) total[j] *= (there[j] - share[j]) * value;
}

RK_EXPORT int rk_tree_shap(const float *rows, int64_t n_rows, int64_t n_features, int64_t depth, int64_t n_leaves,
                           const int64_t *feature, const float *above, const float *at_most, const _Bool *missing,
                           const int64_t *table, const _Bool *codes, const double *share, const double *value, const double *point, const double *weight,
                           int64_t n_points, double *parts) {
    size_t width = (size_t)(n_features > 0 ? n_features : 1), d = (size_t)(depth > 0 ? depth : 1);
    for (int64_t i = 0; i < depth * n_leaves; i++)
        if (feature[i] < 0 || feature[i] >= n_features) return RK_BAD_INDEX;
    float *columns = malloc(width * RK_VECTOR_BYTES);
    double *sums = malloc(width * RK_VECTOR_BYTES), *shares = malloc(d * sizeof(double));
    char *memory = malloc(3 * d * RK_VECTOR_BYTES + RK_VECTOR_BYTES);
    int status = columns && sums && shares && memory ? 0 : RK_NO_MEMORY;
    rk_doubles *there = (rk_doubles *)(((uintptr_t)memory + RK_VECTOR_BYTES - 1) / RK_VECTOR_BYTES * RK_VECTOR_BYTES);
    rk_doubles *before = there + d, *total = before + d;
    for (int64_t start = 0; !status && start < n_rows; start += RK_DOUBLES) {
        int64_t n = n_rows - start < RK_DOUBLES ? n_rows - start : RK_DOUBLES;
        for (int64_t f = 0; f < n_features; f++)
            for (int64_t lane = 0; lane < RK_DOUBLES; lane++) {
                columns[f * RK_DOUBLES + lane] = lane < n ? rows[(start + lane) * n_features + f] : 0.0f;
                sums[f * RK_DOUBLES + lane] = 0.0;
            }
        for (int64_t leaf = 0; leaf < n_leaves; leaf++) {
            for (int64_t j = 0; j < depth; j++) {
                int64_t i = j * n_leaves + leaf;
                shares[j] = share[i];
                inside(columns + feature[i] * RK_DOUBLES, above[i], at_most[i], missing[i],
                       table[i] < 0 ? NULL : codes + table[i], there + j);
            }
            add_leaf(depth, there, shares, value[leaf], point, weight, n_points, before, total);
            for (int64_t j = 0; j < depth; j++) {
                double *sum = sums + feature[j * n_leaves + leaf] * RK_DOUBLES;
                for (int lane = 0; lane < RK_DOUBLES; lane++) sum[lane] += total[j][lane];
            }
        }
        for (int64_t lane = 0; lane < n; lane++)
            for (int64_t f = 0; f < n_features; f++)
                parts[(start + lane) * n_features + f] += sums[f * RK_DOUBLES + lane];
    }
    free(columns);
    free(sums);
    free(shares);
    free(memory);
    return status;
}
