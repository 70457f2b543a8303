/* What the files of slate selection share: scratch space, limits of one row, gains of one row. */
#ifndef RECOKIT_SLATE_H
#define RECOKIT_SLATE_H

#include "common.h"

/* Scratch space: laid out once without memory to know its size, and once more in one block of that size. */
typedef struct {
    char *base;
    size_t used;
    int overflow;
} rk_arena;

static inline void *rk_take(rk_arena *arena, int64_t count, size_t size) {
    size_t bytes, end, at = arena->used;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        __builtin_add_overflow(at, bytes, &end) || end > SIZE_MAX / 2) {
        arena->overflow = 1;
        return NULL;
    }
    arena->used = (end + 63) & ~(size_t)63;
    return arena->base ? arena->base + at : NULL;
}

/* Counts by group code, by open addressing; a code is at least 0, and -1 is an empty place. */
typedef struct {
    int64_t *code, *count;
    int64_t size, shift;
} rk_counts;

/* The limits of one row while its list grows. */
typedef struct {
    const rk_slate *slate;
    const int64_t *start;
    const _Bool *valid;
    int64_t row, k;
    int64_t *list;    /* (places) what stands at each place */
    _Bool *taken;     /* (width) */
    rk_counts *held;  /* (n_caps) how many items that count are in each group, where there is a maximum */
    rk_counts *lack;  /* (n_caps) how many items each group still lacks, where there is a minimum */
    int64_t *lacking; /* (n_caps) the sum of those */
} rk_limits;

void rk_limits_layout(rk_limits *limits, const rk_slate *slate, rk_arena *arena);
int rk_limits_begin(rk_limits *limits, int64_t row, int64_t place);
int64_t rk_limits_opens(const rk_limits *limits, int64_t place, int64_t candidate);
void rk_limits_add(rk_limits *limits, int64_t place, int64_t candidate);
int rk_limits_urgent(const rk_limits *limits, int64_t place, int64_t early);
int rk_limits_allow(const rk_limits *limits, int64_t place, int64_t early, _Bool *allowed);

/* Candidates are looked at by chunks. A chunk's vectors are laid out (dimension, LANES): no sum crosses lanes, so that
 * sums are the same whatever the width of the processor's vectors. */
#define LANES 32
/* A gain that is no number loses against those that are, and wins against what may not be chosen. */
#define LOWEST (-3e38f)

/* The gains of one row while its list grows. */
typedef struct {
    const rk_gains *of;
    const _Bool *valid, *finite;
    const float *relevance;
    const int64_t *item, *aspect;
    const float *aspect_weight, *covers;
    const double *target;
    int64_t row, width, places, n_chunks;
    float weight;       /* of relevance */
    int falls;          /* gains can only fall: an old one bounds the gain of today */
    int neutral;        /* something is unknown, and stands for the mean of the others */
    float *gain;        /* (width up to whole chunks) */
    float *novelty;     /* likewise: what a candidate adds beside its relevance */
    int64_t *seen;      /* (n_chunks) choices that the novelty of a chunk takes into account */
    int64_t n_told;     /* choices that say something about the other candidates */
    int64_t *told;      /* (places) */
    _Bool *known;       /* (width) whether something is known of a candidate */
    _Bool *open;        /* (width) valid, known and not chosen */
    _Bool *gathered;    /* (n_chunks) whether the content of a chunk is there */
    float *vectors;     /* (n_chunks, n_dimensions, LANES) */
    int64_t *labels;    /* (n_chunks, n_columns, LANES) */
    float *query;       /* (places, n_dimensions) what a choice is compared by */
    int16_t *rough;     /* MSD: (pairs of chunks, n_dimensions, 2 * LANES) the vectors times ROUGH, rounded */
    int rounded;        /* MSD: whether rough holds this row's vectors */
    float *rough_error; /* MSD: (n_chunks) length of what rounding took from a vector, at most */
    float *sum;         /* MSD: (n_dimensions) weighted sum of the choices' vectors */
    uint16_t *rough_sum;/* MSD: (n_dimensions) */
    float *base;        /* MSD: weighted relevance, minus infinity for what is chosen or padded */
    float *left;        /* DPP: variance left of each candidate */
    float *scale;       /* DPP of labels: (places) over the root of a choice's variance, 0 where it adds nothing */
    float *factor;      /* DPP of labels: (places, width up to whole chunks) Cholesky factor */
    double *direction;  /* DPP of vectors: (places, n_dimensions) orthonormal */
    float *pairs;       /* facility: (width, width up to whole chunks) likeness */
    float *covered;     /* facility: (width) likeness to the nearest choice */
    double *held;       /* aspects: (n_aspects) of each in the list, or for xQuAD how little of it is covered */
    double *wanted;     /* aspects: (n_aspects) scratch */
    double count;       /* aspects: choices that have one */
} rk_row_gains;

void rk_gains_layout(rk_row_gains *gains, const rk_slate *slate, const rk_gains *of, rk_arena *arena);
int rk_gains_begin(rk_row_gains *gains, const rk_slate *slate, int64_t row);
void rk_gains_refresh(rk_row_gains *gains, int64_t chunk);
void rk_gains_bound(rk_row_gains *gains, float *bound);
void rk_gains_neutral(rk_row_gains *gains);
void rk_gains_add(rk_row_gains *gains, int64_t candidate);

#endif
