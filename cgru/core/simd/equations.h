/* The elementwise equations of the cell, forward and backward, on one vector. They are those of cgru/reference.py, in its
 * names. Each writes what it finds into those caches that are wanted. */

#define SAMPLE(call, row) ((call)->order ? (call)->order[row] : (row))
#define AT(array, i, t) ((T *)(array).data + (i) * (array).sample + (t) * (array).step)

/* Columns c to c + n of step t of sample i, n <= LANES. Where lanes are samples: column `unit` of samples i to i + n, and
 * c is where these stand in the rows; `lengths` has that of each lane, NULL: all have step t. */
typedef struct {
    ptrdiff_t i, t, c, n;
    int samples_in_lanes;
    ptrdiff_t unit;
    const T *lengths;
} place;

/* The place of the vector at c. */
INLINE place place_of(const cgru_call *call, ptrdiff_t i, ptrdiff_t t, ptrdiff_t c) {
    return (place){i, t, c, min(call->u - c, LANES)};
}

static vec gather(const T *p, ptrdiff_t stride, ptrdiff_t n) {
    T lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i * stride];
    return load(lanes);
}

static void scatter(T *p, ptrdiff_t stride, vec x, ptrdiff_t n) {
    T lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) p[i * stride] = lanes[i];
}

/* Where its first number stands, and how far stride_of they stand. */
INLINE T *address_of(cgru_array array, place at) {
    return AT(array, at.i, at.t) + (at.samples_in_lanes ? at.unit * array.column : at.c);
}
INLINE ptrdiff_t stride_of(cgru_array array, place at) { return at.samples_in_lanes ? array.sample : 1; }

INLINE vec load_at(cgru_array array, place at) {
    const T *p = address_of(array, at);
    return stride_of(array, at) == 1 ? load_n(p, at.n) : gather(p, array.sample, at.n);
}

INLINE void store_at(cgru_array array, place at, vec x) {
    T *p = address_of(array, at);
    if (stride_of(array, at) == 1)
        store_n(p, x, at.n);
    else
        scatter(p, array.sample, x, at.n);
}

/* x in the lanes whose sample has step t, else y: where lanes are units, that is so or the step does not run. */
INLINE vec if_running(place at, vec x, vec y) {
    return at.lengths ? if_less(ZERO + (T)at.t, load(at.lengths), x, y) : x;
}

INLINE void store_or_zero(cgru_array array, place at, vec x) { store_at(array, at, if_running(at, x, ZERO)); }

INLINE void store_wanted(cgru_array array, place at, vec x) {
    if (array.data) store_or_zero(array, at, x);
}

/* --- forward --- */

INLINE int resets_after(const cgru_call *call) { return call->variant != CGRU_RESET_BEFORE; }

/* r = activate_reset(r_); what becomes of h: r * h, or r itself where the reset comes after */
INLINE vec reset_gate(const cgru_call *call, place at, vec r_, vec h) {
    const vec r = activate(call->activate_reset, r_);
    store_wanted(call->r, at, r);
    store_wanted(call->r_, at, r_);
    return resets_after(call) ? r : r * h;
}

/* z = activate_update(z_) */
INLINE vec update_gate(const cgru_call *call, place at, vec z_) {
    const vec z = activate(call->activate_update, z_);
    store_wanted(call->z, at, z);
    store_wanted(call->z_, at, z_);
    return z;
}

/* r * c, c the product itself */
INLINE vec reset_product(const cgru_call *call, place at, vec r, vec c) {
    store_wanted(call->c, at, c);
    return r * c;
}

INLINE int has_zoneout(const cgru_call *call) { return call->zoneout != 0 || call->kept.data; }

/* hh_, r * c (at `rc`) joining it where the reset comes after; and whether a call has neither that nor zoneout. */
INLINE vec preactivation(const cgru_call *call, vec hh_,
                         const T *rc) { return resets_after(call) ? hh_ + load(rc) : hh_; }
INLINE int is_plain(const cgru_call *call) { return !resets_after(call) && !has_zoneout(call); }

/* The share of hp that a state keeps. */
INLINE vec zoneout_of(const cgru_call *call, place at) {
    return call->kept.data ? load_at(call->kept, at) : ZERO + (T)call->zoneout;
}

/* hh = activate(hh_), hh_ with r * c where the reset comes after; h = z * hp + (1 - z) * hh, with zoneout
 * k * hp + (1 - k) * that, which is not asked of a `plain` call. */
INLINE vec new_state(const int plain, const cgru_call *call, place at, vec hh_, vec z, vec hp) {
    const vec hh = activate(call->activate, hh_);
    vec h = z * hp + (1 - z) * hh;
    if (!plain && has_zoneout(call)) {
        const vec kept = zoneout_of(call, at);
        h = kept * hp + (1 - kept) * h;
    }
    h = if_running(at, h, hp);
    if (call->h.data) store_at(call->h, at, call->hh.data ? h : if_running(at, h, ZERO));
    store_wanted(call->hh, at, hh);
    store_wanted(call->hh_, at, hh_);
    return h;
}

/* --- backward; dh, dhh_, dz_, dr_, dc are the row's --- */

/* dh_ = dA + dhn; dhh_ = dh_ * (1 - z) * activate'(hh_); dz_ = dh_ * (hp - hh) * activate_update'(z_); and dh begins
 * as dh_ * z; with zoneout dh_ (1 - k) is what the gates get, and dh_ * k is carried. Where the reset comes after,
 * dr_ = dhh_ * c * activate_reset'(r_) and dc = dhh_ * r as well */
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

/* dr_ = drh * hp * activate_reset'(r_), drh = dhh_ Vhh^T; dh += drh * r */
INLINE void reset_gradient(const cgru_call *call, place at, vec drh, T *dh, T *dr_) {
    const vec r = load_at(call->r, at);
    const vec reset = drh * if_running(at, load_at(call->hp, at), ZERO) * derivative(call->activate_reset, r);
    store(dr_ + at.c, reset);
    store(dh + at.c, load(dh + at.c) + drh * r);
    store_or_zero(call->dr_, at, reset);
}

/* dh += sum, sum = dz_ Vz^T + dr_ Vr^T, and dc Vhh^T where the reset comes after */
INLINE void state_gradient(const cgru_call *call, place at, vec sum, T *dh) {
    sum += load(dh + at.c);
    store(dh + at.c, sum);
    store_wanted(call->dh, at, sum);
}
