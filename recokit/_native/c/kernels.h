/* Every function that Python may call. cffi reads this file as it is: declarations and comments, no directives.
 *
 * Arrays are C-contiguous and aligned; lengths are in elements. Functions that can fail return 0, or one of
 *   -1  out of memory
 *   -2  an index outside its array
 */

/* cpu.c: 1 to 3, the x86-64 level that processor and operating system support together; 0 on other machines. */
int rk_cpu_level(void);

/* cpu.c: the CRC-32 of this file when it was compiled: a library of other declarations would read wild memory. */
uint32_t rk_declarations(void);

/* top_k.c: a tile of scores, columns start to start + width of all, offered to the k best of each row: finite ones, of
 * usable columns (a null pointer: all) that are not among the row's items (out_offsets (rows + 1), n_out items in all;
 * a null pointer: none; else the tile is written to). After the last tile best first, ties to the smaller column.
 * scores (rows, width); column, score (rows, k); size (rows), 0 before the first tile. */
int rk_top_k_tile(float *scores, int64_t rows, int64_t width, int64_t start, const _Bool *usable,
                  const int64_t *out_offsets, const int64_t *out_item, int64_t n_out, int64_t k, int last,
                  int64_t *column, float *score, int64_t *size);

/* fusion.c: 1 where every list of one source keeps its contract: offsets ascend from 0 to n, at most limit items a
 * row, codes from 1 to highest, none twice in a row; 0 where one does not, -1 out of memory.
 * offsets (rows + 1); item (n). */
int rk_lists_hold(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t n, int64_t highest,
                  int64_t limit);

/* fusion.c: the lists of up to 64 sources fused. offsets, item, score, n: one of each for each list. Elements whose
 * rank is below within[list] come first. by_ranks: order by summed reciprocal ranks, fixed_point / (constant + rank).
 * out_offsets (rows + 1); out_row, out_item, sources (capacity); out_rank, out_score (n_lists, capacity). */
int rk_fuse(int64_t rows, int64_t n_lists, const int64_t **offsets, const int64_t **item, const float **score,
            const int64_t *n, int by_ranks, double fixed_point, int64_t constant, const int64_t *within,
            int64_t limit, int64_t capacity, int64_t *out_offsets, int64_t *out_row, int64_t *out_item,
            uint64_t *sources, float *out_rank, float *out_score);

/* features.c: rows of a table (n_rows, width) into columns start to start + width of out (n, stride). */
int rk_take_rows(const float *table, int64_t n_rows, int64_t width, const int64_t *index, int64_t n, float *out,
                 int64_t stride, int64_t start);

/* features.c: of each source 1 / rank (0 where it is NaN) and the score scaled to 0..1 within the row, and for two
 * sources or more how many have a rank, into columns of out (n, stride) from start on.
 * rank, score (n_sources) of (n); offsets (rows + 1). */
int rk_source_features(const float **rank, const float **score, int64_t n_sources, const int64_t *offsets,
                       int64_t rows, int64_t n, float *out, int64_t stride, int64_t start);

/* forest.c: the sum of the trees' leaves for each row, added to total, and the leaves where value is no null pointer.
 * Made of the trees, and trusted: word_start (2 * words + 1) where the splits of each word of 32 leaves begin, those
 * that send a missing value left and then those that send it right; feature, threshold and bits of each split: of the
 * first kind the leaves that it rules out where it sends a row right, of the second those that it keeps; word_table
 * (words + 1) where the tables of each word begin; table_feature and table_start of each table: its first code's leaves
 * that are kept stand at table[table_start]; tree_word (n_trees + 1) the first word of each tree, one or two;
 * leaf (words, 32). rows (n_rows, n_features), in columns with tables codes that these have; total (n_rows); value (n_rows, n_trees). */
int rk_forest(const float *rows, int64_t n_rows, int64_t n_features, const int64_t *word_start,
              const int32_t *feature, const float *threshold, const uint32_t *bits, const int64_t *word_table,
              const int32_t *table_feature, const int64_t *table_start, const uint32_t *table,
              const int64_t *tree_word, int64_t n_trees, const double *leaf, double *total, double *value);

/* tree_shap.c: what each feature adds to each row's score through leaves of one depth, added to parts.
 * rows, parts (n_rows, n_features); feature, above, at_most, missing, table, share (depth, n_leaves); value (n_leaves);
 * codes (n_codes): whether a code is in the leaf, the first at table; -1 there for numbers; points and weights of the
 * quadrature on (0, 1). */
int rk_tree_shap(const float *rows, int64_t n_rows, int64_t n_features, int64_t depth, int64_t n_leaves,
                 const int64_t *feature, const float *above, const float *at_most, const _Bool *missing,
                 const int64_t *table, const _Bool *codes, const double *share, const double *value, const double *point, const double *weight,
                 int64_t n_points, double *parts);

/* hashing.c: a seed for each user from a run's seed; a uniform draw in (0, 1) for each seed and counter.
 * user, seed, counter, out (n). */
void rk_row_seeds(uint64_t seed, const int64_t *user, int64_t n, uint64_t *out);
void rk_uniform(const uint64_t *seed, const int64_t *counter, int64_t n, int64_t stream, double *out);

/* history.c: the distinct items above 0 of each row, the last taken first, with their summed weights, which are left
 * of `weight` (1 where it is NaN or NULL) after the time since the row's newest event; half_life 0: all of it.
 * offsets, out_offsets (rows + 1); item, weight, time, out_item, out_weight (n). */
int rk_weighted_items(const int64_t *offsets, int64_t rows, int64_t n, const int64_t *item, const float *weight,
                      const double *time, double half_life, int64_t *out_offsets, int64_t *out_item,
                      double *out_weight);

/* history.c: the k best of each row: score descending, not finite last and NaN, ties by code ascending.
 * offsets, out_offsets (rows + 1); score, code, out_code, out_score (n). */
int rk_top_by_score(const int64_t *offsets, int64_t rows, int64_t n, const float *score, const int64_t *code,
                    int64_t k, int64_t *out_offsets, int64_t *out_code, float *out_score);

/* weighted.c: the weighted sum of some columns of each row, where a product that is NaN counts 0.
 * rows (n, width); place, weight (n_weights); out (n). */
int rk_weighted_sums(const float *rows, int64_t n, int64_t width, const int64_t *place, const float *weight,
                     int64_t n_weights, float *out);

/* ranking_metrics.c: the relevant items of ranked lists, each where it stands first in its row's list: how many there
 * are, at most n_truth. Items of a row's truth ascend, each once but for 0; item 0 of a list is never relevant.
 * offsets, truth_offsets (rows + 1); item (n); truth (n_truth); out_row, out_rank (from 1), out_truth (n_truth). */
int64_t rk_find_hits(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t n,
                     const int64_t *truth_offsets, const int64_t *truth, int64_t n_truth, int64_t *out_row,
                     int64_t *out_rank, int64_t *out_truth);

/* neighbors.c: the k largest similarities above 0 of rows start to stop of left @ right, the diagonal left out, best
 * first, ties to the smaller column. A cell c is the similarity c / (row size * column size + shrinkage), or with
 * add_sizes c / (row size + column size - c + shrinkage); cells below least have none. Matrices are CSR, their columns
 * checked. neighbor, score (stop - start, k); count (stop - start). */
int rk_neighbors(int64_t start, int64_t stop, const int64_t *left_offsets, const int32_t *left_column,
                 const float *left_value, const int64_t *right_offsets, const int32_t *right_column,
                 const float *right_value, int64_t n_columns, const float *row_size, const float *column_size,
                 int add_sizes, float shrinkage, float least, int64_t k, int64_t *neighbor, float *score,
                 int64_t *count);

/* slate_limits.c, slate_gains.c, slate_greedy.c: lists chosen place by place from windows of candidates.
 *
 * A cap: at most maximum (rows) items of a group, or with a null maximum at least minimum items of each group that the
 * row has a candidate of. It counts the first within places, or with sliding every run of so many. Each of n_layers
 * arrays groups[i] (rows, width) holds one group of each candidate, negative for none. */
typedef struct {
    int64_t n_layers;
    const int64_t *const *groups;
    const int64_t *maximum;
    int64_t minimum, within, sliding;
} rk_cap;

/* Windows valid (rows, width), false where padded; k (rows); start (rows, places), what stands in the list already as
 * window positions, -1 where it is open. */
typedef struct {
    int64_t rows, width, places, n_caps;
    const _Bool *valid;
    const int64_t *k, *start;
    const rk_cap *caps;
} rk_slate;

enum { RK_IN_ORDER, RK_RELEVANCE, RK_MMR, RK_MSD, RK_DPP, RK_FACILITY, RK_CALIBRATION, RK_PROPORTIONAL, RK_XQUAD };

/* What a candidate adds to a list: relevance + novelty, see slate_gains.c. Arrays that a kind does not use are null.
 * relevance (rows, width), which the trade-off weighs; finite (rows, width), null where all are; item (rows, width),
 * rows of vectors (n_items, n_dimensions) or else of labels (n_items, n_columns), has_vector (n_items);
 * aspect (rows, width, n_each), from 0 for none, with aspect_weight and covers alike; target (rows, n_aspects). */
typedef struct {
    int64_t kind, n_items, n_dimensions, n_columns, n_each, n_aspects;
    double trade_off, smoothing;
    const float *relevance;
    const _Bool *finite, *has_vector;
    const int64_t *item;
    const float *vectors;
    const int64_t *labels, *aspect;
    const float *aspect_weight, *covers;
    const double *target;
} rk_gains;

/* picked (rows, places): window positions in list order, -1 after a row's end. Minimums are served so many places
 * before they have to be as early says. */
int rk_slate_greedy(const rk_slate *slate, const rk_gains *gains, int64_t early, int64_t *picked);

/* slate_window.c: the best width (rows) candidates of each row of n, as index, valid and relevance (rows, places). */
int rk_slate_window(const float *score, int64_t n, const int64_t *offsets, int64_t rows, const int64_t *width,
                    int64_t places, int64_t *index, _Bool *valid, float *relevance);

/* What may stand at one place beside what stands at others, allowed (rows, width), and the rows that can keep their
 * minimums no more, lost (rows). */
int rk_slate_allowed(const rk_slate *slate, int64_t place, int64_t early, _Bool *allowed, _Bool *lost);

/* als.c: steps of conjugate gradients for rows start to stop, towards the x that solves
 * (diag(spread + ridge) + sum over the row's cells of weight * vector vector') x = sum of weight * vector.
 * offsets, column, weight: the cells, CSR, their columns checked; vectors (columns, width); spread (width); ridge
 * (rows); factors (rows, width), moved in place where a row has cells. width: a multiple of 16. */
int rk_als_rows(int64_t start, int64_t stop, const int64_t *offsets, const int32_t *column, const float *weight,
                const float *vectors, int64_t width, const float *spread, const float *ridge, int64_t steps,
                float *factors);
