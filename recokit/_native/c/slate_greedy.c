/* Lists chosen place by place: at each the allowed candidate with the largest gain, ties to the first in its window. */
#include "slate.h"

/* The choice inside one row. */
typedef struct {
    rk_limits limits;
    rk_row_gains gains;
    int64_t *opens;   /* (width up to whole chunks) place from which on a candidate may be allowed */
    float *bound;     /* (n_chunks) no less than the gain of any candidate of a chunk that may come yet */
    float *current;   /* (n_chunks) the same for one place */
    _Bool *looked_at; /* (n_chunks) whether that is exact */
    _Bool *allowed;   /* (width) */
} chooser;

#define NEVER INT64_MAX

static void layout(chooser *c, const rk_slate *slate, const rk_gains *gains, rk_arena *arena) {
    rk_limits_layout(&c->limits, slate, arena);
    rk_gains_layout(&c->gains, slate, gains, arena);
    int64_t n_chunks = c->gains.n_chunks;
    c->opens = rk_take(arena, n_chunks * LANES, sizeof(int64_t));
    c->bound = rk_take(arena, n_chunks, sizeof(float));
    c->current = rk_take(arena, n_chunks, sizeof(float));
    c->looked_at = rk_take(arena, n_chunks, sizeof(_Bool));
    c->allowed = rk_take(arena, slate->width, sizeof(_Bool));
}

/* Take the maxima of a chunk anew: over what may come yet, and over what may come at this place. */
static void look(chooser *c, int64_t chunk, int64_t place) {
    float bound = -INFINITY, current = -INFINITY;
    int64_t end = (chunk + 1) * LANES < c->gains.width ? (chunk + 1) * LANES : c->gains.width;
    for (int64_t i = chunk * LANES; i < end; i++) {
        float gain = c->gains.gain[i];
        if (c->opens[i] < NEVER && gain > bound) bound = gain;
        if (c->opens[i] <= place && gain > current) current = gain;
    }
    c->bound[chunk] = bound;
    c->current[chunk] = current;
    c->looked_at[chunk] = 1;
}

static int64_t largest(const float *values, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

/* The best candidate under maximums alone; -1 where nothing is allowed. */
static int64_t best_open(chooser *c, int64_t place) {
    rk_row_gains *g = &c->gains;
    int64_t n_chunks = g->n_chunks;
    if (n_chunks == 0) return -1;
    if (!g->neutral) rk_gains_bound(g, c->bound);
    memcpy(c->current, c->bound, (size_t)n_chunks * sizeof(float));
    memset(c->looked_at, 0, (size_t)n_chunks * sizeof(_Bool));
    for (;;) {
        int64_t chunk = largest(c->current, n_chunks);
        if (c->current[chunk] == -INFINITY) return -1;
        if (!c->looked_at[chunk]) {
            if (g->falls && !g->neutral && g->seen[chunk] < g->n_told) rk_gains_refresh(g, chunk);
            look(c, chunk, place);
            continue;
        }
        int64_t i = chunk * LANES;
        while (c->opens[i] > place || g->gain[i] != c->current[chunk]) i++;
        c->opens[i] = rk_limits_opens(&c->limits, place, i);
        if (c->opens[i] <= place) return i;
        if (c->opens[i] >= c->limits.slate->places) c->opens[i] = NEVER;
        look(c, chunk, place);
    }
}

/* The best of what is marked as allowed, where minimums leave no place to lose; -1 where nothing is. */
static int64_t best_needed(chooser *c) {
    int64_t best = -1;
    for (int64_t chunk = 0; chunk < c->gains.n_chunks; chunk++)
        if (c->gains.seen[chunk] < c->gains.n_told) rk_gains_refresh(&c->gains, chunk);
    for (int64_t i = 0; i < c->gains.width; i++)
        if (c->allowed[i] && (best < 0 || c->gains.gain[i] > c->gains.gain[best])) best = i;
    return best;
}

static int choose_row(chooser *c, int64_t row, int64_t early, int64_t *picked) {
    rk_row_gains *g = &c->gains;
    const rk_slate *slate = c->limits.slate;
    int64_t k = slate->k[row] < slate->places ? slate->k[row] : slate->places;
    int bad = rk_limits_begin(&c->limits, row, 0) || rk_gains_begin(g, slate, row);
    if (bad) return RK_BAD_INDEX;
    for (int64_t i = 0; i < g->width; i++) c->opens[i] = g->valid[i] && !c->limits.taken[i] ? 0 : NEVER;
    for (int64_t place = 0; place < k; place++) {
        int64_t chosen = c->limits.start[place];
        int every = !g->falls || g->neutral;
        if (every) rk_gains_neutral(g);
        if (every || place == 0)
            for (int64_t chunk = 0; chunk < g->n_chunks; chunk++) {
                if (!every) rk_gains_refresh(g, chunk);
                look(c, chunk, place);
            }
        int urgent = rk_limits_urgent(&c->limits, place, early);
        if (urgent && rk_limits_allow(&c->limits, place, early, c->allowed)) break;
        if (chosen < 0) chosen = urgent ? best_needed(c) : best_open(c, place);
        if (chosen < 0) break;
        picked[place] = chosen;
        c->opens[chosen] = NEVER;
        rk_limits_add(&c->limits, place, chosen);
        rk_gains_add(g, chosen);
    }
    return 0;
}

RK_EXPORT int rk_slate_greedy(const rk_slate *slate, const rk_gains *gains, int64_t early, int64_t *picked) {
    chooser c;
    rk_arena arena = {NULL, 0, 0};
    layout(&c, slate, gains, &arena);
    char *memory = arena.overflow ? NULL : malloc(arena.used + 64);
    if (!memory) return RK_NO_MEMORY;
    arena = (rk_arena){memory + (64 - (uintptr_t)memory % 64), 0, 0};
    layout(&c, slate, gains, &arena);
    int status = 0;
    for (int64_t i = 0; i < slate->rows * slate->places; i++) picked[i] = -1;
    for (int64_t row = 0; row < slate->rows && !status; row++)
        status = choose_row(&c, row, early, picked + row * slate->places);
    free(memory);
    return status;
}
