/* Whether caps hold, while a list grows: how many items of each group stand where a cap counts them. */
#include "slate.h"

static int64_t table_size(int64_t entries) {
    int64_t size = 8;
    while (size < 2 * entries && size < INT64_MAX / 4) size *= 2;
    return size;
}

static void layout_counts(rk_counts *counts, int64_t entries, rk_arena *arena) {
    int64_t size = table_size(entries), shift = 64;
    for (int64_t s = size; s > 1; s /= 2) shift--;
    int64_t *code = rk_take(arena, size, sizeof(int64_t)), *count = rk_take(arena, size, sizeof(int64_t));
    if (arena->base) *counts = (rk_counts){code, count, size, shift};
}

/* The place of a code in a table, or the empty one where it belongs. Tables are half empty at least. */
static inline int64_t find(const rk_counts *counts, int64_t code) {
    int64_t at = (int64_t)(((uint64_t)code * 0x9E3779B97F4A7C15u) >> counts->shift);
    while (counts->code[at] != code && counts->code[at] >= 0) at = (at + 1) & (counts->size - 1);
    return at;
}

static inline int64_t count_of(const rk_counts *counts, int64_t code) {
    int64_t at = find(counts, code);
    return counts->code[at] < 0 ? 0 : counts->count[at];
}

static inline void change(const rk_counts *counts, int64_t code, int64_t step) {
    int64_t at = find(counts, code);
    if (counts->code[at] < 0) {
        counts->code[at] = code;
        counts->count[at] = 0;
    }
    counts->count[at] += step;
}

/* The group of a candidate in one layer of a cap; -1 for none, and for one that an earlier layer has. */
static inline int64_t group_of(const rk_limits *l, const rk_cap *cap, int64_t layer, int64_t candidate) {
    int64_t at = l->row * l->slate->width + candidate, code = cap->groups[layer][at];
    if (code < 0) return -1;
    for (int64_t before = 0; before < layer; before++)
        if (cap->groups[before][at] == code) return -1;
    return code;
}

static void count_item(const rk_limits *l, int64_t c, int64_t candidate, int64_t step) {
    const rk_cap *cap = &l->slate->caps[c];
    for (int64_t layer = 0; layer < cap->n_layers; layer++) {
        int64_t code = group_of(l, cap, layer, candidate);
        if (code >= 0) change(&l->held[c], code, step);
    }
}

static void serve(rk_limits *l, int64_t c, int64_t candidate) {
    const rk_cap *cap = &l->slate->caps[c];
    for (int64_t layer = 0; layer < cap->n_layers; layer++) {
        int64_t code = group_of(l, cap, layer, candidate);
        if (code < 0 || count_of(&l->lack[c], code) <= 0) continue;
        change(&l->lack[c], code, -1);
        l->lacking[c]--;
    }
}

/* How many places a cap counts; at most one more than there are. */
static inline int64_t span(const rk_limits *l, const rk_cap *cap) {
    int64_t within = cap->within <= l->slate->places ? cap->within : l->slate->places + 1;
    return within < cap->sliding ? 1 : within < 0 ? 0 : within;
}

/* The place by which a minimum is due. */
static inline int64_t due(const rk_limits *l, const rk_cap *cap) {
    int64_t end = span(l, cap) < l->k ? span(l, cap) : l->k;
    return end < l->slate->places ? end : l->slate->places;
}

/* Whether what stands at one place counts for what is chosen at another. */
static inline int counts_at(const rk_limits *l, const rk_cap *cap, int64_t there, int64_t place) {
    if (!cap->sliding) return there < span(l, cap);
    return (there > place ? there - place : place - there) < span(l, cap);
}

void rk_limits_layout(rk_limits *l, const rk_slate *slate, rk_arena *arena) {
    l->slate = slate;
    l->list = rk_take(arena, slate->places, sizeof(int64_t));
    l->taken = rk_take(arena, slate->width, sizeof(_Bool));
    l->held = rk_take(arena, slate->n_caps, sizeof(rk_counts));
    l->lack = rk_take(arena, slate->n_caps, sizeof(rk_counts));
    l->lacking = rk_take(arena, slate->n_caps, sizeof(int64_t));
    int64_t listed = slate->places < slate->width ? slate->places : slate->width;
    for (int64_t c = 0; c < slate->n_caps; c++) {
        const rk_cap *cap = &slate->caps[c];
        if (cap->maximum) layout_counts(arena->base ? &l->held[c] : NULL, listed * cap->n_layers, arena);
        if (cap->minimum > 0)
            layout_counts(arena->base ? &l->lack[c] : NULL, slate->width * cap->n_layers, arena);
    }
}

static void begin_minimum(rk_limits *l, int64_t c) {
    const rk_cap *cap = &l->slate->caps[c];
    /* One more than there are places can be met no more than any larger number, and sums of it do not overflow. */
    int64_t minimum = cap->minimum <= l->slate->places ? cap->minimum : l->slate->places + 1;
    memset(l->lack[c].code, -1, (size_t)l->lack[c].size * sizeof(int64_t));
    for (int64_t i = 0; i < l->slate->width; i++) {
        if (!l->valid[i]) continue;
        for (int64_t layer = 0; layer < cap->n_layers; layer++) {
            int64_t code = group_of(l, cap, layer, i);
            if (code < 0 || l->lack[c].code[find(&l->lack[c], code)] >= 0) continue;
            change(&l->lack[c], code, minimum);
            l->lacking[c] += minimum;
        }
    }
    for (int64_t place = 0; place < due(l, cap); place++)
        if (l->list[place] >= 0) serve(l, c, l->list[place]);
}

/* Begin a row at a place, with what stands in its list. */
int rk_limits_begin(rk_limits *l, int64_t row, int64_t place) {
    const rk_slate *slate = l->slate;
    l->row = row;
    l->k = slate->k[row];
    l->start = slate->start + row * slate->places;
    l->valid = slate->valid + row * slate->width;
    memset(l->taken, 0, (size_t)slate->width * sizeof(_Bool));
    for (int64_t there = 0; there < slate->places; there++) {
        l->list[there] = l->start[there];
        if (l->list[there] < -1 || l->list[there] >= slate->width) return RK_BAD_INDEX;
        if (l->list[there] >= 0) l->taken[l->list[there]] = 1;
    }
    for (int64_t c = 0; c < slate->n_caps; c++) {
        const rk_cap *cap = &slate->caps[c];
        l->lacking[c] = 0;
        if (cap->maximum) {
            memset(l->held[c].code, -1, (size_t)l->held[c].size * sizeof(int64_t));
            for (int64_t there = 0; there < slate->places; there++)
                if (l->list[there] >= 0 && there != place && counts_at(l, cap, there, place))
                    count_item(l, c, l->list[there], 1);
        }
        if (cap->minimum > 0) begin_minimum(l, c);
    }
    return 0;
}

/* The place from which on a candidate may be allowed: the given one where every maximum has room for it now. */
int64_t rk_limits_opens(const rk_limits *l, int64_t place, int64_t candidate) {
    int64_t opens = place;
    for (int64_t c = 0; c < l->slate->n_caps; c++) {
        const rk_cap *cap = &l->slate->caps[c];
        if (!cap->maximum || (!cap->sliding && place >= span(l, cap))) continue;
        for (int64_t layer = 0; layer < cap->n_layers; layer++) {
            int64_t code = cap->groups[layer][l->row * l->slate->width + candidate];
            if (code < 0 || count_of(&l->held[c], code) < cap->maximum[l->row]) continue;
            int64_t then = cap->sliding ? place + 1 : span(l, cap);
            if (then > opens) opens = then;
        }
    }
    return opens;
}

/* Note what stands at a place from now on, and move on to the next one. */
void rk_limits_add(rk_limits *l, int64_t place, int64_t candidate) {
    const rk_slate *slate = l->slate;
    int standing = l->start[place] >= 0;
    l->list[place] = candidate;
    l->taken[candidate] = 1;
    for (int64_t c = 0; c < slate->n_caps; c++) {
        const rk_cap *cap = &slate->caps[c];
        int64_t reach = span(l, cap);
        /* What stood beforehand counts already, but at the first place, which limits begin with. */
        if (cap->maximum && (!standing || place == 0) && (cap->sliding || place < reach))
            count_item(l, c, candidate, 1);
        if (cap->maximum && cap->sliding) {
            int64_t leaving = place + 1 - reach, coming = place + reach;
            if (leaving >= 0) count_item(l, c, l->list[leaving], -1);
            if (coming > place && coming < slate->places && l->list[coming] >= 0)
                count_item(l, c, l->list[coming], 1);
        }
        if (cap->minimum > 0 && !standing && place < due(l, cap)) serve(l, c, candidate);
    }
}

/* What the minimums due within so many places lack, and the places left for it. */
static int64_t lacks(const rk_limits *l, int64_t within) {
    int64_t lacking = 0;
    for (int64_t c = 0; c < l->slate->n_caps; c++)
        if (l->slate->caps[c].minimum > 0 && l->slate->caps[c].within <= within) lacking += l->lacking[c];
    return lacking;
}

static int64_t places_left(const rk_limits *l, int64_t within, int64_t place) {
    int64_t end = within < l->k ? within : l->k, left = 0;
    if (end > l->slate->places) end = l->slate->places;
    for (; place < end; place++) left += l->start[place] < 0;
    return left;
}

/* The next larger number of places that a minimum is due within; 0 where there is none. */
static int64_t next_due(const rk_limits *l, int64_t within) {
    int64_t next = 0;
    for (int64_t c = 0; c < l->slate->n_caps; c++) {
        const rk_cap *cap = &l->slate->caps[c];
        if (cap->minimum > 0 && cap->within > within && (next == 0 || cap->within < next)) next = cap->within;
    }
    return next;
}

static int is_urgent(const rk_limits *l, int64_t within, int64_t place, int64_t early) {
    int64_t lacking = lacks(l, within);
    return lacking > 0 && early >= places_left(l, within, place) - lacking;
}

/* Whether minimums leave the row no place to lose. */
int rk_limits_urgent(const rk_limits *l, int64_t place, int64_t early) {
    for (int64_t within = next_due(l, 0); within; within = next_due(l, within))
        if (is_urgent(l, within, place, early)) return 1;
    return 0;
}

static int64_t serves(const rk_limits *l, int64_t within, int64_t candidate) {
    int64_t served = 0;
    for (int64_t c = 0; c < l->slate->n_caps; c++) {
        const rk_cap *cap = &l->slate->caps[c];
        if (cap->minimum <= 0 || cap->within > within) continue;
        for (int64_t layer = 0; layer < cap->n_layers; layer++) {
            int64_t code = group_of(l, cap, layer, candidate);
            served += code >= 0 && count_of(&l->lack[c], code) > 0;
        }
    }
    return served;
}

/* Tell for every candidate whether it may stand at a place; return whether the minimums can be kept no more. */
int rk_limits_allow(const rk_limits *l, int64_t place, int64_t early, _Bool *allowed) {
    int64_t width = l->slate->width;
    int lost = 0;
    for (int64_t i = 0; i < width; i++)
        allowed[i] = l->valid[i] && !l->taken[i] && rk_limits_opens(l, place, i) == place;
    for (int64_t within = next_due(l, 0); within; within = next_due(l, within)) {
        if (!is_urgent(l, within, place, early)) continue;
        int64_t lacking = lacks(l, within), left = places_left(l, within, place), largest = 0;
        lost |= left < 1;
        for (int64_t i = 0; i < width; i++) {
            int64_t served = allowed[i] ? serves(l, within, i) : 0;
            if (served > largest) largest = served;
        }
        /* At its last place a minimum has to be met; early, what serves nothing may come where nothing serves it. */
        int64_t enough = left <= 1 ? (largest > lacking ? largest : lacking) : (largest > 1 ? largest : 1);
        if (lacking < left && largest == 0) enough = 0;
        for (int64_t i = 0; i < width; i++)
            if (allowed[i]) allowed[i] = serves(l, within, i) >= enough;
    }
    return lost;
}

RK_EXPORT int rk_slate_allowed(const rk_slate *slate, int64_t place, int64_t early, _Bool *allowed, _Bool *lost) {
    rk_limits limits;
    rk_arena arena = {NULL, 0, 0};
    if (place < 0 || place > slate->places) return RK_BAD_INDEX;
    rk_limits_layout(&limits, slate, &arena);
    char *memory = arena.overflow ? NULL : malloc(arena.used + 64);
    if (!memory) return RK_NO_MEMORY;
    arena = (rk_arena){memory + (64 - (uintptr_t)memory % 64), 0, 0};
    rk_limits_layout(&limits, slate, &arena);
    int status = 0;
    for (int64_t row = 0; row < slate->rows && !status; row++) {
        status = rk_limits_begin(&limits, row, place);
        if (!status) lost[row] = (_Bool)rk_limits_allow(&limits, place, early, allowed + row * slate->width);
    }
    free(memory);
    return status;
}
