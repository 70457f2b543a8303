/* Fusion of ranked lists. The elements of a row are met in the order of fusion (rank by rank, list by list), so the
 * first meeting of an item is its place and no sort is needed; a table of open addresses finds it again. */
#include "common.h"

typedef struct {
    int32_t *entry; /* the number of an item, in the order of its first meeting; -1 where nothing is */
    int shift;
} Table;

static int fits(const int64_t *offsets, int64_t rows, int64_t n) {
    if (offsets[0] != 0 || offsets[rows] != n) return 0;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row] > offsets[row + 1]) return 0;
    return 1;
}

/* A table of at least twice as many places as elements, so that a search ends soon. */
static Table table_of(int64_t elements, int32_t *space) {
    int bits = 3;
    while (((int64_t)1 << bits) < 2 * elements) bits++;
    memset(space, 0xff, sizeof(int32_t) << bits);
    return (Table){space, 64 - bits};
}

/* Return the item's number; a new item gets the next one. */
static inline int32_t number(Table table, int64_t item, int64_t *items, int32_t *n) {
    uint64_t mask = UINT64_MAX >> table.shift;
    uint64_t at = ((uint64_t)item * 0x9E3779B97F4A7C15u) >> table.shift;
    for (;; at = (at + 1) & mask) {
        int32_t entry = table.entry[at];
        if (entry < 0) {
            items[*n] = item;
            return table.entry[at] = (*n)++;
        }
        if (items[entry] == item) return entry;
    }
}

/* Are the codes of each row distinct? By a bit for each code, where those take no more room than a table. */
static int distinct_by_bits(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t highest) {
    uint64_t *seen = calloc((size_t)(highest / 64 + 1), sizeof *seen);
    if (!seen) return RK_NO_MEMORY;
    int hold = 1;
    for (int64_t row = 0; row < rows && hold; row++) {
        for (int64_t i = offsets[row]; i < offsets[row + 1]; i++) {
            uint64_t bit = (uint64_t)1 << (item[i] & 63);
            if (seen[item[i] >> 6] & bit) hold = 0;
            seen[item[i] >> 6] |= bit;
        }
        for (int64_t i = offsets[row]; i < offsets[row + 1]; i++) seen[item[i] >> 6] = 0;
    }
    free(seen);
    return hold;
}

static int distinct_by_table(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t most) {
    int64_t *items = malloc((size_t)(most + 1) * sizeof *items);
    int32_t *space = malloc((size_t)(4 * most + 8) * sizeof *space);
    int hold = items && space ? 1 : RK_NO_MEMORY;
    for (int64_t row = 0; row < rows && hold == 1; row++) {
        int32_t n_items = 0, start = 0;
        Table table = table_of(offsets[row + 1] - offsets[row], space);
        for (int64_t i = offsets[row]; i < offsets[row + 1]; i++, start++)
            if (number(table, item[i], items, &n_items) != start) hold = 0;
    }
    free(items);
    free(space);
    return hold;
}

RK_EXPORT int rk_lists_hold(const int64_t *offsets, int64_t rows, const int64_t *item, int64_t n, int64_t highest,
                            int64_t limit) {
    if (!fits(offsets, rows, n)) return 0;
    int64_t most = 0;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row + 1] - offsets[row] > most) most = offsets[row + 1] - offsets[row];
    if (most > limit || most > INT32_MAX / 8) return 0;
    for (int64_t i = 0; i < n; i++)
        if (item[i] < 1 || item[i] > highest) return 0;
    if (n == 0) return 1;
    if (highest / 64 <= 2 * most) return distinct_by_bits(offsets, rows, item, highest);
    return distinct_by_table(offsets, rows, item, most);
}

/* Reciprocal rank fusion: numbers in the order of their summed gains, ties by number. */
typedef struct {
    int64_t gain;
    int32_t entry;
} Gain;

static int by_gain(const void *left, const void *right) {
    const Gain *a = left, *b = right;
    if (a->gain != b->gain) return a->gain > b->gain ? -1 : 1;
    return a->entry < b->entry ? -1 : 1;
}

/* One row: its lists, and the scratch space that rows share. */
typedef struct {
    int64_t n_lists, longest, elements;
    const int64_t **item;
    const float **score;
    int64_t *length, *start; /* of each list, and where it starts among the row's elements */
    int64_t *items;          /* of the row, by number */
    int32_t *met, *place;    /* the number of each element; the place of each number */
    int32_t *space;
    Gain *gain;
} Row;

/* Meet the elements whose rank is below each list's share (part 0), or the others (part 1). */
static int32_t meet(Row *row, Table table, int32_t n, const int64_t *within, int part) {
    int64_t first = part == 0 ? 0 : row->longest;
    for (int64_t list = 0; part == 1 && list < row->n_lists; list++)
        if (within[list] < first) first = within[list] > 0 ? within[list] : 0;
    for (int64_t rank = first; rank < row->longest; rank++)
        for (int64_t list = 0; list < row->n_lists; list++) {
            if (rank >= row->length[list] || (rank < within[list]) != (part == 0)) continue;
            row->met[row->start[list] + rank] = number(table, row->item[list][rank], row->items, &n);
        }
    return n;
}

static void place_by_gain(Row *row, int32_t n, double fixed_point, int64_t constant) {
    for (int32_t entry = 0; entry < n; entry++) row->gain[entry] = (Gain){0, entry};
    for (int64_t list = 0; list < row->n_lists; list++)
        for (int64_t rank = 0; rank < row->length[list]; rank++)
            row->gain[row->met[row->start[list] + rank]].gain += (int64_t)rint(fixed_point / (double)(constant + 1 + rank));
    qsort(row->gain, (size_t)n, sizeof *row->gain, by_gain);
    for (int32_t at = 0; at < n; at++) row->place[row->gain[at].entry] = at;
}

/* Write the items whose place is below kept, and what each list knew of them, from `out` on. */
static void write_row(const Row *row, int32_t n, int64_t kept, int64_t out, int64_t stride, int64_t *item,
                      uint64_t *sources, float *rank, float *score) {
    for (int32_t entry = 0; entry < n; entry++)
        if (row->place[entry] < kept) item[out + row->place[entry]] = row->items[entry];
    for (int64_t i = 0; i < kept; i++) sources[out + i] = 0;
    for (int64_t list = 0; list < row->n_lists; list++) {
        float *ranks = rank + list * stride + out, *scores = score + list * stride + out;
        for (int64_t i = 0; i < kept; i++) ranks[i] = scores[i] = NAN;
        for (int64_t at = 0; at < row->length[list]; at++) {
            int32_t place = row->place[row->met[row->start[list] + at]];
            if (place >= kept) continue;
            sources[out + place] |= (uint64_t)1 << list;
            ranks[place] = (float)(at + 1);
            scores[place] = row->score[list][at];
        }
    }
}

/* The same where there is one list. */
static void write_list(const Row *row, int64_t kept, int64_t *item, uint64_t *sources, float *rank, float *score) {
    for (int64_t at = 0; at < kept; at++) {
        item[at] = row->item[0][at];
        sources[at] = 1;
        rank[at] = (float)(at + 1);
        score[at] = row->score[0][at];
    }
}

/* Point the row at its part of every list. */
static void enter(Row *row, int64_t b, const int64_t **offsets, const int64_t **item, const float **score) {
    row->longest = row->elements = 0;
    for (int64_t list = 0; list < row->n_lists; list++) {
        int64_t from = offsets[list][b], length = offsets[list][b + 1] - from;
        row->item[list] = item[list] + from;
        row->score[list] = score[list] + from;
        row->length[list] = length;
        row->start[list] = row->elements;
        row->elements += length;
        if (length > row->longest) row->longest = length;
    }
}

static int fuse_rows(Row *row, int64_t rows, const int64_t **offsets, const int64_t **item, const float **score,
                     int by_ranks, double fixed_point, int64_t constant, const int64_t *within, int64_t limit,
                     int64_t capacity, int64_t *out_offsets, int64_t *out_row, int64_t *out_item, uint64_t *sources,
                     float *out_rank, float *out_score) {
    int64_t out = 0;
    out_offsets[0] = 0;
    for (int64_t b = 0; b < rows; b++) {
        enter(row, b, offsets, item, score);
        int64_t n = row->elements;
        if (row->n_lists > 1) {
            Table table = table_of(row->elements, row->space);
            int32_t met = meet(row, table, meet(row, table, 0, within, 0), within, 1);
            if (by_ranks)
                place_by_gain(row, met, fixed_point, constant);
            else
                for (int32_t entry = 0; entry < met; entry++) row->place[entry] = entry;
            n = met;
        }
        int64_t kept = n < limit ? n : limit;
        if (out + kept > capacity) return RK_BAD_INDEX;
        if (row->n_lists == 1) /* in its own order by any rule, and distinct by its contract */
            write_list(row, kept, out_item + out, sources + out, out_rank + out, out_score + out);
        else
            write_row(row, (int32_t)n, kept, out, capacity, out_item, sources, out_rank, out_score);
        for (int64_t i = 0; i < kept; i++) out_row[out + i] = b;
        out_offsets[b + 1] = out += kept;
    }
    return 0;
}

RK_EXPORT int rk_fuse(int64_t rows, int64_t n_lists, const int64_t **offsets, const int64_t **item,
                      const float **score, const int64_t *n, int by_ranks, double fixed_point, int64_t constant,
                      const int64_t *within, int64_t limit, int64_t capacity, int64_t *out_offsets, int64_t *out_row,
                      int64_t *out_item, uint64_t *sources, float *out_rank, float *out_score) {
    if (n_lists < 1 || n_lists > 64 || limit < 0) return RK_BAD_INDEX;
    int64_t most = 0;
    for (int64_t list = 0; list < n_lists; list++)
        if (!fits(offsets[list], rows, n[list])) return RK_BAD_INDEX;
    for (int64_t b = 0; b < rows; b++) {
        int64_t elements = 0;
        for (int64_t list = 0; list < n_lists; list++) elements += offsets[list][b + 1] - offsets[list][b];
        if (elements > most) most = elements;
    }
    if (most > INT32_MAX / 8) return RK_BAD_INDEX;
    const int64_t *items_of[64];
    const float *scores_of[64];
    int64_t length[64], start[64];
    size_t size = (size_t)most + 1;
    Row row = {n_lists, 0, 0, items_of, scores_of, length, start, malloc(size * sizeof(int64_t)),
               malloc(size * sizeof(int32_t)), malloc(size * sizeof(int32_t)),
               malloc((4 * size + 8) * sizeof(int32_t)), malloc(by_ranks ? size * sizeof(Gain) : 1)};
    int status = RK_NO_MEMORY;
    if (row.items && row.met && row.place && row.space && row.gain)
        status = fuse_rows(&row, rows, offsets, item, score, by_ranks, fixed_point, constant, within, limit, capacity,
                           out_offsets, out_row, out_item, sources, out_rank, out_score);
    free(row.items);
    free(row.met);
    free(row.place);
    free(row.space);
    free(row.gain);
    return status;
}
