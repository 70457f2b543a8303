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
