/* Every function that Python may call. cffi reads this file as it is: declarations and comments, no directives.
 *
 * Arrays are C-contiguous and aligned; lengths are in elements. Functions that can fail return 0, or one of
 *   -1  out of memory
 *   -2  an index outside its array
 */

/* cpu.c: 1 to 3, the x86-64 level that processor and operating system support together; 0 on other machines. */
int rk_cpu_level(void);

/* top_k.c: the k largest finite scores of each row, best first, ties to the smaller column.
 * scores (rows, stride) of which the first width columns count; column, score (rows, k); count (rows). */
int rk_top_k_rows(const float *scores, int64_t rows, int64_t width, int64_t stride, int64_t k,
                  int64_t *column, float *score, int64_t *count);

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
