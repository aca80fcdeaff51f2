/* The elementwise equations of the cell, forward and backward, on one vector; every layout and every level uses these.
 *
 *     r = activate_reset(r_)        z = activate_update(z_)        hh = activate(hh_)        h = z * hp + (1 - z) * hh
 *
 * r_, z_ and hh_ are the preactivations, hp is the previous state. Names and gradients are those of cgru/reference.py.
 * A function also stores its results in the cache arrays of the call that have data. */

/* Returns the sample that a row holds. */
#define SAMPLE(call, row) ((call)->order ? (call)->order[row] : (row))
/* Returns the address of step t of sample i in an array. */
#define AT(array, i, t) ((T *)(array).data + (i) * (array).sample + (t) * (array).step)

/* The place of a vector in the arrays of a call. Lanes are units: columns c to c + n of step t of sample i, n <= LANES.
 * Lanes are samples (`samples_in_lanes`): column `unit` of samples i to i + n, which stands at c in the rows; `lengths`
 * are those of the samples, NULL: all have step t. */
typedef struct {
    ptrdiff_t i, t, c, n;
    int samples_in_lanes;
    ptrdiff_t unit;
    const T *lengths;
} place;

/* Returns the place of columns c to c + LANES of step t of sample i. */
INLINE place place_of(const cgru_call *call, ptrdiff_t i, ptrdiff_t t, ptrdiff_t c) {
    return (place){i, t, c, min(call->u - c, LANES)};
}

/* Loads n numbers, `stride` apart. */
static vec gather(const T *p, ptrdiff_t stride, ptrdiff_t n) {
    T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i * stride];
    return load(lanes);
}

/* Stores n numbers, `stride` apart. */
static void scatter(T *p, ptrdiff_t stride, vec x, ptrdiff_t n) {
    T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) p[i * stride] = lanes[i];
}

/* Returns the address of the first lane of a place in an array. */
INLINE T *address_of(cgru_array array, place at) {
    return AT(array, at.i, at.t) + (at.samples_in_lanes ? at.unit * array.column : at.c);
}
/* Returns the stride between the lanes of a place in an array. */
INLINE ptrdiff_t stride_of(cgru_array array, place at) { return at.samples_in_lanes ? array.sample : 1; }
INLINE int is_spread(cgru_array array, place at) { return (at.samples_in_lanes ? array.sample : array.column) == 0; }

/* Loads the vector at a place of an array. */
INLINE vec load_at(cgru_array array, place at) {
    const T *p = address_of(array, at);
    return stride_of(array, at) == 1 ? load_n(p, at.n) : gather(p, array.sample, at.n);
}

/* The same, where a stride of 0 (`is_spread`) says that all lanes have one number. */
INLINE vec load_spread(cgru_array array, place at) {
    return is_spread(array, at) ? ZERO + AT(array, at.i, at.t)[at.unit * array.column] : load_at(array, at);
}

/* Stores x at a place of an array. */
INLINE void store_at(cgru_array array, place at, vec x) {
    T *p = address_of(array, at);
    if (stride_of(array, at) == 1)
        store_n(p, x, at.n);
    else
        scatter(p, array.sample, x, at.n);
}

/* Returns x in lanes whose sample has step t, else y. Where lanes are units, rows without step t are not run at all. */
INLINE vec if_running(place at, vec x, vec y) {
    return at.lengths ? if_less(ZERO + (T)at.t, load(at.lengths), x, y) : x;
}

/* Stores x, or zero past the length of a sample. */
INLINE void store_or_zero(cgru_array array, place at, vec x) { store_at(array, at, if_running(at, x, ZERO)); }

/* Stores x as `store_or_zero` does, if the array has data. */
INLINE void store_wanted(cgru_array array, place at, vec x) {
    if (array.data) store_or_zero(array, at, x);
}

/* --- forward --- */

/* Returns hp = g * h + (1 - g) * start of a state h that enters a step, g = decay, and stores it in the caches. A state
 * is unchanged where g is 1, and replaced whole where g is 0, whatever it was. */
INLINE vec entering_state(const cgru_call *call, place at, vec g, vec h) {
    const vec start = call->start.data ? load_spread(call->start, at) : ZERO;
    vec hp = if_less(g, ZERO + 1, g * h + (1 - g) * start, h);
    hp = if_running(at, if_less(ZERO, g, hp, start), h);
    if (call->hp.data) store_at(call->hp, at, hp);
    return hp;
}

/* Returns whether r multiplies the recurrent product c = hp Vhh + chh (reset after) instead of hp. */
INLINE int resets_after(const cgru_call *call) { return call->variant != CGRU_RESET_BEFORE; }

/* Stores r = activate_reset(r_) in the caches; returns r * h, or r where the reset comes after. */
INLINE vec reset_gate(const cgru_call *call, place at, vec r_, vec h) {
    const vec r = activate(call->activate_reset, r_);
    store_wanted(call->r, at, r);
    store_wanted(call->r_, at, r_);
    return resets_after(call) ? r : r * h;
}

/* Stores z = activate_update(z_) in the caches, and returns it. */
INLINE vec update_gate(const cgru_call *call, place at, vec z_) {
    const vec z = activate(call->activate_update, z_);
    store_wanted(call->z, at, z);
    store_wanted(call->z_, at, z_);
    return z;
}

/* Stores c, the recurrent product of the candidate, in the caches, and returns r * c. */
INLINE vec reset_product(const cgru_call *call, place at, vec r, vec c) {
    store_wanted(call->c, at, c);
    return r * c;
}

/* Returns whether the call has zoneout, as a rate or as masks. */
INLINE int has_zoneout(const cgru_call *call) { return call->zoneout != 0 || call->kept.data; }

/* Returns hh_, plus r * c (at `rc`) where the reset comes after. */
INLINE vec preactivation(const cgru_call *call, vec hh_, const T *rc) {
    return resets_after(call) ? hh_ + load(rc) : hh_;
}

/* Returns whether the call has neither reset-after nor zoneout: a constant `plain` then removes their branches. */
INLINE int is_plain(const cgru_call *call) { return !resets_after(call) && !has_zoneout(call); }

/* Returns the share k of hp that zoneout keeps: a vector of masks, or of the rate. */
INLINE vec zoneout_of(const cgru_call *call, place at) {
    return call->kept.data ? load_at(call->kept, at) : ZERO + (T)call->zoneout;
}

/* Returns h = z * hp + (1 - z) * hh, hh = activate(hh_), with zoneout k * hp + (1 - k) * h; stores h, hh and hh_. */
INLINE vec new_state(const int plain, const cgru_call *call, place at, vec hh_, vec z, vec hp) {
    const vec hh = activate(call->activate, hh_);
    vec h = z * hp + (1 - z) * hh;
    if (!plain && has_zoneout(call)) {
        const vec kept = zoneout_of(call, at);
        h = kept * hp + (1 - kept) * h;
    }
    h = if_running(at, h, hp);
    const int keeps = !at.lengths || call->hh.data || call->hp.data; /* h past a sample's length, for the way back */
    if (call->h.data) store_at(call->h, at, keeps ? h : if_running(at, h, ZERO));
    store_wanted(call->hh, at, hh);
    store_wanted(call->hh_, at, hh_);
    return h;
}

/* --- backward; dh, dhh_, dz_, dr_, dc are those of the row in the workspace --- */

/* Gradients of the preactivations, from dhn (at dh), the gradient from the next step:
 * dh_ = dA + dhn, dhh_ = dh_ * (1 - z) * activate'(hh_), dz_ = dh_ * (hp - hh) * activate_update'(z_), dh = dh_ * z.
 * With zoneout the gates get dh_ * (1 - k), and dh_ * k is added to dh. Where the reset comes after, also
 * dr_ = dhh_ * c * activate_reset'(r_) and dc = dhh_ * r. */
INLINE void gate_gradients(const int plain, const cgru_call *call, place at, T *dh, T *dhh_, T *dz_, T *dr_, T *dc) {
    const vec hp = load_at(call->hp, at), hh = load_at(call->hh, at), z = load_at(call->z, at), dhn = load(dh + at.c);
    vec sum = dhn;
    if (call->dA.data) sum += load_at(call->dA, at);
    vec fresh = sum, carried = sum * z;
    if (!plain && has_zoneout(call)) {
        const vec kept = zoneout_of(call, at);
        fresh = sum * (1 - kept);
        carried = fresh * z + sum * kept;
    }
    const vec candidate = if_running(at, fresh * (1 - z) * derivative(call->activate, hh), ZERO);
    const vec update = if_running(at, fresh * (hp - hh) * derivative(call->activate_update, z), ZERO);
    store(dhh_ + at.c, candidate);
    store(dz_ + at.c, update);
    store(dh + at.c, if_running(at, carried, dhn));
    store_wanted(call->dh_, at, sum);
    store_or_zero(call->dhh_, at, candidate);
    store_or_zero(call->dz_, at, update);
    if (plain || !resets_after(call)) return;
    const vec r = load_at(call->r, at), recurrent = candidate * r;
    const vec reset = candidate * load_at(call->c, at) * derivative(call->activate_reset, r);
    store(dr_ + at.c, reset);
    store(dc + at.c, recurrent);
    store_or_zero(call->dr_, at, reset);
    store_or_zero(call->dc, at, recurrent);
}

/* dr_ = drh * hp * activate_reset'(r_), dh += drh * r, where drh = dhh_ Vhh^T. */
INLINE void reset_gradient(const cgru_call *call, place at, vec drh, T *dh, T *dr_) {
    const vec r = load_at(call->r, at);
    const vec reset = drh * if_running(at, load_at(call->hp, at), ZERO) * derivative(call->activate_reset, r);
    store(dr_ + at.c, reset);
    store(dh + at.c, load(dh + at.c) + drh * r);
    store_or_zero(call->dr_, at, reset);
}

/* Stores dhp = dL/dhp in the caches, and dh = g * dhp, the gradient of the state before the factor g, there and in the
 * row. */
INLINE void leave_state(const cgru_call *call, place at, vec g, vec dhp, T *dh) {
    const vec before = if_running(at, if_less(ZERO, g, g * dhp, ZERO), dhp);
    store_wanted(call->dhp, at, dhp);
    store_wanted(call->dh, at, before);
    store(dh + at.c, before);
}

/* dh += sum, and stores it in the caches; sum = dz_ Vz^T + dr_ Vr^T, plus dc Vhh^T where the reset comes after. */
INLINE void state_gradient(const cgru_call *call, place at, vec sum, T *dh) {
    sum += load(dh + at.c);
    store(dh + at.c, sum);
    store_wanted(call->dh, at, sum);
}
