/* Boosted trees by bit vectors (after QuickScorer; Lucchese et al., 2015), 32 rows side by side.
 *
 * Every leaf of a tree is one bit, leftmost leaf first; a tree has one or two words of 32. A split that sends a row
 * right rules out the leaves of its left subtree; after all splits the lowest bit left is the leaf. No split is
 * followed and no branch depends on a row. The words of a tree stay in registers while its splits go by, in any order,
 * so those that send a missing value left come first. Splits by category are one table for each word and feature: what
 * each code keeps. A row's sum is over the trees in their order, whatever rows
 * stand beside it. */
#include "vectors.h"

#define LANES 32
#define PARTS (LANES / RK_FLOATS)

/* The columns of 32 rows, those beyond the last row all 0. */
static void transpose(const float *rows, int64_t n, int64_t n_features, float *columns) {
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int64_t f = 0; f < n_features; f++)
            columns[f * LANES + lane] = lane < n ? rows[lane * n_features + f] : 0.0f;
}

/* The leaves of one word that no split from first to last rules out. Those from middle on send missing values right;
 * their bits are the leaves kept, those of the others the leaves ruled out: three instructions each. */
static void remaining(const float *columns, const int32_t *feature, const float *threshold, const uint32_t *bits,
                      int64_t first, int64_t middle, int64_t last, uint32_t *word) {
    rk_ints left[PARTS];
    for (int p = 0; p < PARTS; p++) left[p] = ~(rk_ints){0};
    for (int64_t i = first; i < middle; i++)
        for (int p = 0; p < PARTS; p++) {
            rk_floats x;
            RK_LOAD(x, columns + (int64_t)feature[i] * LANES + p * RK_FLOATS);
            left[p] &= ~((x > threshold[i]) & (int32_t)bits[i]);
        }
    for (int64_t i = middle; i < last; i++)
        for (int p = 0; p < PARTS; p++) {
            rk_floats x;
            RK_LOAD(x, columns + (int64_t)feature[i] * LANES + p * RK_FLOATS);
            left[p] &= (x <= threshold[i]) | (int32_t)bits[i];
        }
    for (int p = 0; p < PARTS; p++) RK_STORE(word + p * RK_FLOATS, left[p]);
}

RK_EXPORT int rk_forest(const float *rows, int64_t n_rows, int64_t n_features, const int64_t *word_start,
                        const int32_t *feature, const float *threshold, const uint32_t *bits, const int64_t *word_table,
                        const int32_t *table_feature, const int64_t *table_start, const uint32_t *table,
                        const int64_t *tree_word, int64_t n_trees, const double *leaf, double *total, double *value) {
    float *columns = malloc((size_t)n_features * LANES * sizeof(float) + 1);
    if (!columns) return RK_NO_MEMORY;
    for (int64_t start = 0; start < n_rows; start += LANES) {
        int64_t n = n_rows - start < LANES ? n_rows - start : LANES;
        double sum[LANES] = {0};
        transpose(rows + start * n_features, n, n_features, columns);
        memcpy(sum, total + start, (size_t)n * sizeof(double));
        for (int64_t tree = 0; tree < n_trees; tree++) {
            /* The last bit of a tree is set at least, so that a leaf is always one of its own. */
            uint32_t word[2][LANES];
            double found[LANES];
            int64_t first = tree_word[tree], both = tree_word[tree + 1] - first == 2;
            const double *leaves = leaf + first * 32;
            for (int64_t w = 0; w <= both; w++) {
                const int64_t *at = word_start + 2 * (first + w);
                remaining(columns, feature, threshold, bits, at[0], at[1], at[2], word[w]);
                for (int64_t t = word_table[first + w]; t < word_table[first + w + 1]; t++) {
                    const float *code = columns + (int64_t)table_feature[t] * LANES;
                    for (int lane = 0; lane < LANES; lane++)
                        word[w][lane] &= table[table_start[t] + (int32_t)code[lane]];
                }
            }
            for (int lane = 0; lane < LANES; lane++)
                found[lane] = both ? leaves[__builtin_ctzll((uint64_t)1 << 63 | (uint64_t)word[1][lane] << 32 |
                                                            word[0][lane])]
                                   : leaves[__builtin_ctz((uint32_t)1 << 31 | word[0][lane])];
            for (int lane = 0; lane < LANES; lane++) sum[lane] += found[lane];
            for (int64_t lane = 0; value && lane < n; lane++) value[(start + lane) * n_trees + tree] = found[lane];
        }
        memcpy(total + start, sum, (size_t)n * sizeof(double));
    }
    free(columns);
    return 0;
}
