/* Gains of candidates: relevance, and what is new in a candidate beside those chosen.
 *
 *   MMR, MSD         Carbonell and Goldstein (1998); Gollapudi and Sharma (2009)
 *   DPP              greedy MAP, Chen, Zhang and Zhou (2018)
 *   facility         Lin and Bilmes (2011)
 *   calibration, proportional, xQuAD   Steck (2018); Dang and Croft (2012); Santos et al. (2010)
 *
 * Where gains can only fall, an old one bounds the gain of today: a chunk takes in the choices made since it was last
 * looked at when its bound is the largest, and most chunks take in few. */
#include "slate.h"

#if defined(__AVX__)
#define VEC 8
#else
#define VEC 4
#endif
#define PARTS (LANES / VEC)
/* Wide enough for one register each: gcc takes vectors wider than the target's apart. */
typedef float vec __attribute__((vector_size(4 * VEC), may_alias));
typedef double dvec __attribute__((vector_size(4 * VEC), may_alias));
typedef uint16_t whole __attribute__((vector_size(4 * VEC), may_alias));
#define WHOLES (LANES / (2 * VEC))
#define SUMS 8
#define DPARTS (2 * SUMS / VEC)

typedef float four __attribute__((vector_size(16)));
typedef int32_t pick __attribute__((vector_size(16)));
/* Elements of two vectors by number, those of the second from four on. */
#if defined(__clang__)
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (pick){i, j, k, l})
#endif

/* What is left of a variance of one when nothing is left: float knows no less. */
#define FLOOR 1e-6f

/* Products of LANES vectors, laid out (n, LANES), with one vector. */
static void product(const float *vectors, const float *query, int64_t n, float *out) {
    vec sum[PARTS] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int p = 0; p < PARTS; p++) sum[p] += ((const vec *)(vectors + i * LANES))[p] * query[i];
    for (int p = 0; p < PARTS; p++) ((vec *)out)[p] = sum[p];
}

/* The same with two vectors at once: each of LANES is loaded once. */
static void two_products(const float *vectors, const float *one, const float *other, int64_t n, float *out) {
    vec first[PARTS] = {{0}}, second[PARTS] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int p = 0; p < PARTS; p++) {
            vec v = ((const vec *)(vectors + i * LANES))[p];
            first[p] += v * one[i];
            second[p] += v * other[i];
        }
    for (int p = 0; p < PARTS; p++) {
        ((vec *)out)[p] = first[p];
        ((vec *)out)[PARTS + p] = second[p];
    }
}

/* A sum in SUMS parts, whatever the width of the processor's vectors. */
static double dot(const double *a, const double *b, int64_t n) {
    dvec part[DPARTS] = {{0}};
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int p = 0; p < DPARTS; p++) {
            dvec x, y;
            memcpy(&x, a + i + p * (VEC / 2), sizeof x);
            memcpy(&y, b + i + p * (VEC / 2), sizeof y);
            part[p] += x * y;
        }
    double sums[SUMS], rest = 0;
    memcpy(sums, part, sizeof sums);
    for (; i < n; i++) rest += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest;
}

/* Logarithms of numbers of at least FLOOR, by Cephes' polynomial: the same bits on every machine. */
static void log_lanes(float *restrict x) {
    for (int lane = 0; lane < LANES; lane++) {
        int32_t bits;
        float m;
        memcpy(&bits, &x[lane], sizeof bits);
        int32_t e = (bits - 0x3f3504f3) >> 23; /* m from the root of a half to the root of two */
        bits -= e * (1 << 23);
        memcpy(&m, &bits, sizeof m);
        float f = m - 1.0f, square = f * f, y = 7.0376836292e-2f;
        y = y * f - 1.1514610310e-1f;
        y = y * f + 1.1676998740e-1f;
        y = y * f - 1.2420140846e-1f;
        y = y * f + 1.4249322787e-1f;
        y = y * f - 1.6668057665e-1f;
        y = y * f + 2.0000714765e-1f;
        y = y * f - 2.4999993993e-1f;
        y = y * f + 3.3333331174e-1f;
        y = y * f * square + (float)e * -2.12194440e-4f - 0.5f * square;
        x[lane] = f + y + (float)e * 0.693359375f;
    }
}

static int by_aspects(const rk_gains *of) { return of->kind >= RK_CALIBRATION; }

static int by_content(const rk_gains *of) { return of->kind >= RK_MMR && of->kind <= RK_FACILITY; }

void rk_gains_layout(rk_row_gains *g, const rk_slate *slate, const rk_gains *of, rk_arena *arena) {
    int64_t n_chunks = slate->width / LANES + (slate->width % LANES > 0), padded = n_chunks * LANES;
    int64_t listed = slate->places < slate->width ? slate->places : slate->width, d = of->n_dimensions;
    int content = by_content(of), vectors = content && of->vectors, labels = content && !of->vectors;
    int dpp = of->kind == RK_DPP, facility = of->kind == RK_FACILITY;
    *g = (rk_row_gains){.of = of, .width = slate->width, .places = slate->places, .n_chunks = n_chunks};
    if (__builtin_mul_overflow(padded, d > of->n_columns ? d : of->n_columns, &(int64_t){0}) ||
        __builtin_mul_overflow(padded, slate->width, &(int64_t){0}) ||
        __builtin_mul_overflow(listed, d, &(int64_t){0}))
        arena->overflow = 1;
    g->gain = rk_take(arena, padded, sizeof(float));
    g->novelty = rk_take(arena, padded, sizeof(float));
    g->seen = rk_take(arena, n_chunks, sizeof(int64_t));
    g->told = rk_take(arena, listed, sizeof(int64_t));
    g->known = rk_take(arena, slate->width, sizeof(_Bool));
    g->open = rk_take(arena, slate->width, sizeof(_Bool));
    g->gathered = rk_take(arena, n_chunks, sizeof(_Bool));
    g->vectors = rk_take(arena, vectors ? padded * d : 0, sizeof(float));
    g->labels = rk_take(arena, labels ? padded * of->n_columns : 0, sizeof(int64_t));
    g->query = rk_take(arena, vectors ? listed * d : 0, sizeof(float));
    int msd = of->kind == RK_MSD && vectors;
    g->rough = rk_take(arena, msd ? (n_chunks + 1) / 2 * 2 * LANES * d : 0, sizeof(int16_t));
    g->rough_error = rk_take(arena, msd ? n_chunks : 0, sizeof(float));
    g->sum = rk_take(arena, msd ? d : 0, sizeof(float));
    g->rough_sum = rk_take(arena, msd ? d : 0, sizeof(uint16_t));
    g->base = rk_take(arena, msd ? padded : 0, sizeof(float));
    g->left = rk_take(arena, dpp ? padded : 0, sizeof(float));
    g->scale = rk_take(arena, dpp ? listed : 0, sizeof(float));
    g->factor = rk_take(arena, dpp && labels ? listed * padded : 0, sizeof(float));
    g->direction = rk_take(arena, dpp && vectors ? listed * d : 0, sizeof(double));
    g->pairs = rk_take(arena, facility ? slate->width * padded : 0, sizeof(float));
    g->covered = rk_take(arena, facility ? slate->width : 0, sizeof(float));
    g->held = rk_take(arena, by_aspects(of) ? of->n_aspects : 0, sizeof(double));
    g->wanted = rk_take(arena, by_aspects(of) ? of->n_aspects : 0, sizeof(double));
}

/* Four vectors, laid out one after the other, as columns of out (n, LANES). */
static void lay_out_four(const float *const from[4], int64_t n, float *restrict out) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        four a, b, c, d;
        memcpy(&a, from[0] + i, sizeof a);
        memcpy(&b, from[1] + i, sizeof b);
        memcpy(&c, from[2] + i, sizeof c);
        memcpy(&d, from[3] + i, sizeof d);
        four low = SHUFFLE(a, b, 0, 4, 1, 5), high = SHUFFLE(a, b, 2, 6, 3, 7);
        four low2 = SHUFFLE(c, d, 0, 4, 1, 5), high2 = SHUFFLE(c, d, 2, 6, 3, 7);
        four rows[4] = {SHUFFLE(low, low2, 0, 1, 4, 5), SHUFFLE(low, low2, 2, 3, 6, 7),
                        SHUFFLE(high, high2, 0, 1, 4, 5), SHUFFLE(high, high2, 2, 3, 6, 7)};
        for (int r = 0; r < 4; r++) memcpy(out + (i + r) * LANES, &rows[r], sizeof rows[r]);
    }
    for (; i < n; i++)
        for (int r = 0; r < 4; r++) out[i * LANES + r] = from[r][i];
}

static void lay_out(const rk_row_gains *g, int64_t chunk, float *out) {
    int64_t first = chunk * LANES, n = g->width - first, d = g->of->n_dimensions;
    for (int64_t lane = 0; lane < LANES; lane += 4) {
        const float *from[4]; /* beyond the window the last candidate again: nobody looks */
        for (int64_t r = 0; r < 4; r++)
            from[r] = g->of->vectors + g->item[first + (lane + r < n ? lane + r : n - 1)] * d;
        lay_out_four(from, d, out + lane);
    }
}

static void gather(rk_row_gains *g, int64_t chunk) {
    const rk_gains *of = g->of;
    int64_t first = chunk * LANES, n = g->width - first < LANES ? g->width - first : LANES;
    g->gathered[chunk] = 1;
    if (of->vectors) {
        lay_out(g, chunk, g->vectors + first * of->n_dimensions);
        return;
    }
    int64_t *out = g->labels + first * of->n_columns;
    for (int64_t column = 0; column < of->n_columns; column++)
        for (int64_t lane = 0; lane < LANES; lane++)
            out[column * LANES + lane] =
                lane < n ? of->labels[g->item[first + lane] * of->n_columns + column] : 0;
}

/* Likeness of a chunk's candidates to one item, by vectors (a query in place of the item's own) or by the share of
 * columns in which labels agree. */
static void likeness(rk_row_gains *g, int64_t chunk, int64_t candidate, const float *query, float *out) {
    const rk_gains *of = g->of;
    if (!g->gathered[chunk]) gather(g, chunk);
    if (of->vectors) {
        product(g->vectors + chunk * LANES * of->n_dimensions, query, of->n_dimensions, out);
        return;
    }
    const int64_t *mine = of->labels + g->item[candidate] * of->n_columns;
    const int64_t *theirs = g->labels + chunk * LANES * of->n_columns;
    int64_t agree[LANES] = {0};
    for (int64_t column = 0; column < of->n_columns; column++) {
        if (mine[column] <= 0) continue;
        for (int lane = 0; lane < LANES; lane++) agree[lane] += theirs[column * LANES + lane] == mine[column];
    }
    float whole = of->n_columns > 0 ? (float)of->n_columns : 1;
    for (int lane = 0; lane < LANES; lane++) out[lane] = (float)agree[lane] / whole;
}

static int begin_facility(rk_row_gains *g) {
    int64_t d = g->of->n_dimensions, padded = g->n_chunks * LANES, counted = 0;
    for (int64_t i = 0; i < g->width; i++) counted += g->open[i];
    float share = (float)(counted > 0 ? counted : 1);
    for (int64_t i = 0; i < g->width; i++) {
        g->covered[i] = 0;
        if (!g->open[i]) continue; /* what does not count need not be covered */
        const float *vector = g->of->vectors ? g->of->vectors + g->item[i] * d : NULL;
        for (int64_t chunk = 0; chunk < g->n_chunks; chunk++) {
            float *out = g->pairs + i * padded + chunk * LANES;
            likeness(g, chunk, i, vector, out);
            for (int lane = 0; lane < LANES; lane++) out[lane] = (out[lane] > 0 ? out[lane] : 0) / share;
        }
    }
    return 0;
}

static int check_codes(const rk_row_gains *g) {
    const rk_gains *of = g->of;
    if (by_content(of))
        for (int64_t i = 0; i < g->width; i++)
            if (g->item[i] < 0 || g->item[i] >= of->n_items) return RK_BAD_INDEX;
    if (by_aspects(of))
        for (int64_t i = 0; i < g->width * of->n_each; i++)
            if (g->aspect[i] < 0 || g->aspect[i] >= of->n_aspects) return RK_BAD_INDEX;
    return 0;
}

static void begin_msd(rk_row_gains *g) {
    g->rounded = 0;
    memset(g->sum, 0, (size_t)g->of->n_dimensions * sizeof(float));
    for (int64_t i = 0; i < g->n_chunks * LANES; i++) {
        float base = i < g->width ? g->weight * g->relevance[i] : 0;
        g->base[i] = i >= g->width || !g->valid[i] ? -INFINITY : base >= LOWEST ? base : LOWEST;
    }
}

static _Bool is_known(const rk_row_gains *g, int64_t i) {
    const rk_gains *of = g->of;
    if (by_aspects(of)) return of->n_each > 0 && g->aspect[i * of->n_each] > 0;
    if (!by_content(of)) return 1;
    if (of->vectors) return !of->has_vector || of->has_vector[g->item[i]];
    _Bool some = 0;
    for (int64_t column = 0; column < of->n_columns; column++)
        some |= of->labels[g->item[i] * of->n_columns + column] > 0;
    return some;
}

int rk_gains_begin(rk_row_gains *g, const rk_slate *slate, int64_t row) {
    const rk_gains *of = g->of;
    int64_t first = row * slate->width, each = first * of->n_each;
    g->row = row;
    g->valid = slate->valid + first;
    g->relevance = of->relevance ? of->relevance + first : NULL;
    g->finite = of->finite ? of->finite + first : NULL;
    g->weight = (float)of->trade_off;
    g->item = of->item ? of->item + first : NULL;
    g->aspect = of->aspect ? of->aspect + each : NULL;
    g->aspect_weight = of->aspect_weight ? of->aspect_weight + each : NULL;
    g->covers = of->covers ? of->covers + each : NULL;
    g->target = of->target ? of->target + row * of->n_aspects : NULL;
    if (check_codes(g)) return RK_BAD_INDEX;
    g->n_told = 0;
    g->neutral = 0;
    g->falls = !by_aspects(of);
    if (of->kind == RK_MSD && of->vectors) begin_msd(g);
    for (int64_t i = 0; i < slate->width; i++) {
        g->known[i] = is_known(g, i);
        g->open[i] = g->valid[i] && g->known[i];
        g->neutral |= g->valid[i] && !g->known[i];
    }
    memset(g->seen, 0, (size_t)g->n_chunks * sizeof(int64_t));
    memset(g->gathered, 0, (size_t)g->n_chunks * sizeof(_Bool));
    /* Nothing is less like anything than by -1: the same for all, until there is a first choice. */
    float nothing = of->kind == RK_MMR ? (float)(1 - of->trade_off) : 0;
    for (int64_t i = 0; i < g->n_chunks * LANES; i++) g->novelty[i] = nothing;
    if (of->kind == RK_DPP)
        for (int64_t i = 0; i < g->n_chunks * LANES; i++) g->left[i] = 1;
    for (int64_t a = 0; by_aspects(of) && a < of->n_aspects; a++) g->held[a] = of->kind == RK_XQUAD;
    g->count = 0;
    return of->kind == RK_FACILITY ? begin_facility(g) : 0;
}

static void refresh_mmr(rk_row_gains *g, int64_t chunk) {
    float *novelty = g->novelty + chunk * LANES, weight = (float)(g->of->trade_off - 1);
    float out[2 * LANES] __attribute__((aligned(64)));
    int64_t j = g->seen[chunk], d = g->of->n_dimensions;
    if (g->of->vectors && !g->gathered[chunk] && j < g->n_told) gather(g, chunk);
    for (; g->of->vectors && j + 2 <= g->n_told; j += 2) {
        two_products(g->vectors + chunk * LANES * d, g->query + j * d, g->query + (j + 1) * d, d, out);
        for (int lane = 0; lane < LANES; lane++) {
            float least = out[lane] < out[LANES + lane] ? out[lane] : out[LANES + lane];
            novelty[lane] = least < novelty[lane] ? least : novelty[lane];
        }
    }
    for (; j < g->n_told; j++) {
        likeness(g, chunk, g->told[j], g->query + j * d, out);
        for (int lane = 0; lane < LANES; lane++) {
            float value = g->of->vectors ? out[lane] : out[lane] * weight;
            novelty[lane] = value < novelty[lane] ? value : novelty[lane];
        }
    }
}

static void refresh_msd(rk_row_gains *g, int64_t chunk) {
    float *novelty = g->novelty + chunk * LANES, weight = (float)(1 - g->of->trade_off);
    float out[LANES] __attribute__((aligned(64)));
    if (g->of->vectors && g->seen[chunk] < g->n_told) {
        likeness(g, chunk, 0, g->sum, out);
        for (int lane = 0; lane < LANES; lane++) novelty[lane] = -out[lane];
        return;
    }
    for (int64_t j = g->seen[chunk]; j < g->n_told; j++) {
        likeness(g, chunk, g->told[j], NULL, out);
        for (int lane = 0; lane < LANES; lane++) novelty[lane] -= out[lane] * weight;
    }
}

/* Vectors as integers: a product with one of length one stays below 2^15, whatever its parts come to on the way. */
#define ROUGH 180.0f
/* Integers lie by pairs of chunks: what they are multiplied by is loaded once for both. */
#define PAIR (2 * LANES)
#define LARGEST 32000.0

static void gather_rough(rk_row_gains *g, int64_t chunk) {
    int64_t d = g->of->n_dimensions;
    const float *vectors = g->vectors + chunk * LANES * d;
    int16_t *rough = g->rough + chunk / 2 * PAIR * d + chunk % 2 * LANES;
    float error[LANES] = {0}, largest = 0;
    gather(g, chunk);
    for (int64_t i = 0; i < d; i++) {
        float rounded[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            float scaled = vectors[i * LANES + lane] * ROUGH;
            rounded[lane] = (scaled + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: no digit is left below one */
            float lost = (scaled - rounded[lane]) * (1 / ROUGH);
            error[lane] += lost * lost;
        }
        for (int lane = 0; lane < LANES; lane++) rough[i * PAIR + lane] = (int16_t)(int32_t)rounded[lane];
    }
    for (int lane = 0; lane < LANES; lane++) largest = error[lane] > largest ? error[lane] : largest;
    g->rough_error[chunk] = sqrtf(largest) * 1.001f;
}

/* Products of the integers of two chunks with those of the sum. */
static void rough_product(const rk_row_gains *g, int64_t pair, int16_t *out) {
    int64_t d = g->of->n_dimensions;
    const int16_t *rough = g->rough + pair * PAIR * d;
    whole sum[2 * WHOLES] = {{0}};
    for (int64_t i = 0; i < d; i++)
        for (int p = 0; p < 2 * WHOLES; p++) sum[p] += ((const whole *)(rough + i * PAIR))[p] * g->rough_sum[i];
    memcpy(out, sum, sizeof sum);
}

/* MSD's gains can rise as well. Bound each chunk's from products of integers, at half the price of exact ones, and
 * from what rounding can have taken from them (Cauchy and Schwarz). */
void rk_gains_bound(rk_row_gains *g, float *bound) {
    int64_t d = g->of->n_dimensions;
    if (g->of->kind != RK_MSD || !g->of->vectors || g->n_told == 0) return;
    double square = 0, lost = 0;
    for (int64_t i = 0; i < d; i++) square += (double)g->sum[i] * g->sum[i];
    double length = sqrt(square) + 1e-30, scale = LARGEST / (ROUGH * length * 1.2);
    for (int64_t i = 0; i < d; i++) {
        double rounded = nearbyint(g->sum[i] * scale), part = g->sum[i] - rounded / scale;
        g->rough_sum[i] = (uint16_t)(int16_t)rounded;
        lost += part * part;
    }
    float back = (float)(-1 / (scale * ROUGH)), from_sum = (float)(sqrt(lost) * 1.3);
    for (int64_t chunk = 0; !g->rounded && chunk < g->n_chunks; chunk++) gather_rough(g, chunk);
    g->rounded = 1;
    int16_t products[PAIR];
    for (int64_t chunk = 0; chunk < g->n_chunks; chunk++) {
        int64_t first = chunk * LANES;
        const int16_t *product = products + chunk % 2 * LANES;
        if (chunk % 2 == 0) rough_product(g, chunk / 2, products);
        float slack = g->rough_error[chunk] * (float)length + from_sum + 1e-5f * (1 + (float)length), most[LANES];
        for (int lane = 0; lane < LANES; lane++) most[lane] = g->base[first + lane] + (float)product[lane] * back;
        for (int half = LANES / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++)
                most[lane] = most[lane] > most[lane + half] ? most[lane] : most[lane + half];
        /* Vectors that are no numbers bound nothing. */
        bound[chunk] = isnan(most[0] + slack) ? INFINITY : most[0] + slack;
    }
}

/* Rows of the Cholesky factor of the chosen items' likeness, seen from a chunk; of vectors a row is the product with
 * what is new in the chosen one's. */
static void refresh_dpp(rk_row_gains *g, int64_t chunk) {
    float *left = g->left + chunk * LANES, *novelty = g->novelty + chunk * LANES;
    float weight = (float)(1 - g->of->trade_off), out[2 * LANES] __attribute__((aligned(64)));
    int64_t d = g->of->n_dimensions, padded = g->n_chunks * LANES, j = g->seen[chunk];
    if (j == g->n_told) return;
    if (g->of->vectors && !g->gathered[chunk]) gather(g, chunk);
    for (; g->of->vectors && j + 2 <= g->n_told; j += 2) {
        two_products(g->vectors + chunk * LANES * d, g->query + j * d, g->query + (j + 1) * d, d, out);
        for (int lane = 0; lane < LANES; lane++)
            left[lane] = (left[lane] - out[lane] * out[lane]) - out[LANES + lane] * out[LANES + lane];
    }
    for (; j < g->n_told; j++) {
        likeness(g, chunk, g->told[j], g->query + j * d, out);
        if (!g->of->vectors) {
            for (int64_t i = 0; i < j; i++) {
                const float *before = g->factor + i * padded;
                float mine = before[g->told[j]];
                for (int lane = 0; lane < LANES; lane++) out[lane] -= mine * before[chunk * LANES + lane];
            }
            for (int lane = 0; lane < LANES; lane++) out[lane] *= g->scale[j];
            memcpy(g->factor + j * padded + chunk * LANES, out, LANES * sizeof(float));
        }
        for (int lane = 0; lane < LANES; lane++) left[lane] -= out[lane] * out[lane];
    }
    for (int lane = 0; lane < LANES; lane++) novelty[lane] = left[lane] > FLOOR ? left[lane] : FLOOR;
    log_lanes(novelty);
    for (int lane = 0; lane < LANES; lane++) novelty[lane] *= weight;
}

static void refresh_facility(rk_row_gains *g, int64_t chunk) {
    float *novelty = g->novelty + chunk * LANES, weight = (float)(1 - g->of->trade_off), sum[LANES] = {0};
    int64_t padded = g->n_chunks * LANES;
    for (int64_t i = 0; i < g->width; i++) {
        if (!g->valid[i] || !g->known[i]) continue;
        const float *like = g->pairs + i * padded + chunk * LANES;
        float covered = g->covered[i];
        for (int lane = 0; lane < LANES; lane++) sum[lane] += like[lane] > covered ? like[lane] - covered : 0;
    }
    for (int lane = 0; lane < LANES; lane++) novelty[lane] = weight * sum[lane];
}

/* What a candidate with an aspect adds, of which `held` is in the list; `weight` is the aspect's part of it. */
static double aspect_adds(const rk_row_gains *g, int64_t entry) {
    const rk_gains *of = g->of;
    int64_t a = g->aspect[entry];
    double weight = g->aspect_weight[entry], target = g->target[a];
    if (of->kind == RK_XQUAD) return target * g->held[a] * g->covers[entry];
    if (of->kind == RK_PROPORTIONAL) return g->wanted[a] * weight;
    /* An entry without an aspect has no weight, and its target is 0: its logarithm must only be finite. */
    double own = (1 - of->smoothing) / (g->count + 1), floor = target > 0 ? of->smoothing * target : 1;
    return target * (log(own * (g->held[a] + weight) + floor) - g->wanted[a]);
}

static void refresh_aspects(rk_row_gains *g, int64_t chunk) {
    int64_t end = (chunk + 1) * LANES < g->width ? (chunk + 1) * LANES : g->width, m = g->of->n_each;
    for (int64_t i = chunk * LANES; i < end; i++) {
        double sum = 0;
        for (int64_t each = 0; each < m; each++)
            if (g->aspect[i * m + each] > 0) sum += aspect_adds(g, i * m + each);
        g->novelty[i] = (float)((1 - g->of->trade_off) * sum);
    }
}

/* What is the same for all candidates: the claims of aspects, or the logarithms of what is held of them. */
static void begin_aspects(rk_row_gains *g) {
    const rk_gains *of = g->of;
    double largest = 1e-300;
    for (int64_t a = 0; a < of->n_aspects; a++) {
        double target = g->target[a], own = (1 - of->smoothing) / (g->count + 1);
        if (of->kind == RK_PROPORTIONAL) g->wanted[a] = target / (2 * g->held[a] + 1);
        if (of->kind == RK_CALIBRATION)
            g->wanted[a] = log(own * g->held[a] + (target > 0 ? of->smoothing * target : 1));
        if (of->kind == RK_PROPORTIONAL && g->wanted[a] > largest) largest = g->wanted[a];
    }
    for (int64_t a = 0; of->kind == RK_PROPORTIONAL && a < of->n_aspects; a++) g->wanted[a] /= largest;
}

static float number(const rk_row_gains *g, int64_t i, float gain) {
    return (g->finite && !g->finite[i]) || !(gain >= LOWEST) ? LOWEST : gain;
}

/* Make the gains of a chunk those of today. */
void rk_gains_refresh(rk_row_gains *g, int64_t chunk) {
    int64_t first = chunk * LANES, end = first + LANES < g->width ? first + LANES : g->width;
    switch (g->of->kind) {
    case RK_MMR: refresh_mmr(g, chunk); break;
    case RK_MSD: refresh_msd(g, chunk); break;
    case RK_DPP: refresh_dpp(g, chunk); break;
    case RK_FACILITY: refresh_facility(g, chunk); break;
    case RK_CALIBRATION:
    case RK_PROPORTIONAL:
    case RK_XQUAD: refresh_aspects(g, chunk); break;
    default: break;
    }
    g->seen[chunk] = g->n_told;
    if (g->relevance && !g->finite) {
        for (int64_t i = first; i < end; i++) {
            float gain = g->weight * g->relevance[i] + g->novelty[i];
            g->gain[i] = gain >= LOWEST ? gain : LOWEST;
        }
        return;
    }
    for (int64_t i = first; i < end; i++)
        g->gain[i] = number(g, i, (g->relevance ? g->weight * g->relevance[i] : -(float)i) + g->novelty[i]);
}

/* Make all gains those of today; what is unknown has the novelty that the other open candidates have in the mean. */
void rk_gains_neutral(rk_row_gains *g) {
    if (by_aspects(g->of)) begin_aspects(g);
    for (int64_t chunk = 0; chunk < g->n_chunks; chunk++) rk_gains_refresh(g, chunk);
    if (!g->neutral) return;
    double total = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < g->width; i++)
        if (g->open[i]) {
            total += g->novelty[i];
            count++;
        }
    float mean = (float)(total / (double)(count > 0 ? count : 1));
    for (int64_t i = 0; i < g->width; i++)
        if (g->valid[i] && !g->known[i]) g->gain[i] = number(g, i, g->weight * g->relevance[i] + mean);
}

/* A new direction of length one, at right angles to those before; zeros where nothing is new. */
static void add_direction(rk_row_gains *g, int64_t j, const float *vector, int adds) {
    int64_t d = g->of->n_dimensions;
    double *new = g->direction + j * d, scale;
    for (int64_t i = 0; i < d; i++) new[i] = vector[i];
    for (int64_t before = 0; adds && before < j; before++) {
        const double *other = g->direction + before * d;
        double part = dot(other, new, d);
        for (int64_t i = 0; i < d; i++) new[i] -= part * other[i];
    }
    double length = sqrt(dot(new, new, d));
    scale = adds ? 1 / (length > 1e-100 ? length : 1e-100) : 0;
    for (int64_t i = 0; i < d; i++) {
        new[i] *= scale;
        g->query[j * d + i] = (float)new[i];
    }
}

static void add_aspects(rk_row_gains *g, int64_t candidate) {
    int64_t m = g->of->n_each;
    g->count += 1;
    for (int64_t entry = candidate * m; entry < (candidate + 1) * m; entry++) {
        double *held = &g->held[g->aspect[entry]];
        if (g->of->kind == RK_XQUAD) *held *= 1 - (double)g->covers[entry];
        else *held += g->aspect_weight[entry];
    }
}

/* Note a choice. */
void rk_gains_add(rk_row_gains *g, int64_t candidate) {
    const rk_gains *of = g->of;
    int64_t j = g->n_told, d = of->n_dimensions, chunk = candidate / LANES;
    g->open[candidate] = 0;
    if (of->kind <= RK_RELEVANCE || !g->known[candidate]) return;
    if (by_aspects(of)) {
        add_aspects(g, candidate);
        return;
    }
    if (of->kind == RK_FACILITY) {
        int64_t padded = g->n_chunks * LANES;
        for (int64_t i = 0; i < g->width; i++) {
            if (!g->valid[i] || !g->known[i]) continue;
            float like = g->pairs[i * padded + candidate];
            if (like > g->covered[i]) g->covered[i] = like;
        }
    }
    /* A place can be taken twice by what stands in the list beforehand: there is room for each candidate once. */
    if (j >= g->places || j >= g->width) return;
    const float *vector = of->vectors ? of->vectors + g->item[candidate] * d : NULL;
    if (of->kind == RK_DPP) {
        if (g->seen[chunk] < j) rk_gains_refresh(g, chunk);
        int adds = g->left[candidate] > FLOOR;
        g->scale[j] = adds ? 1 / sqrtf(g->left[candidate]) : 0;
        if (vector) add_direction(g, j, vector, adds);
    } else if (vector && of->kind == RK_MSD) {
        g->base[candidate] = -INFINITY;
        for (int64_t i = 0; i < d; i++) g->sum[i] += vector[i] * (float)(1 - of->trade_off);
    } else if (vector) {
        for (int64_t i = 0; i < d; i++) g->query[j * d + i] = vector[i] * (float)(of->trade_off - 1);
    }
    g->told[j] = candidate;
    g->n_told = j + 1;
}
