// Events: sent by a population; received by a projection, which keeps products of them.
//
// A projection keeps A = W x^ and F = W^T d^, where x^ and d^ are the values last sent (d: delta).
// An event changes A by one column of W, or F by one row. Columns are read from a transposed copy,
// U.
//
// While the weights of one pattern move, dW/dt = d^ x^T with both factors constant between events.
// So a step touches neither matrix, and an event touches one line only:
//
//     W = U + I x^T    I_i = integral of d^_i    W x^   = A + I S    S = sum x^_j^2
//     W = V + d^ J^T   J_j = integral of x^_j    W^T d^ = F + J R    R = sum d^_i^2
//
// An event of x_j reads and updates column j of U, an event of d_i row i of V. V is the array of
// the weights. This is exact; `fold` brings the weights up to date.
//
// A process that ends leaves all of this in an array, from which the next one goes on (`save`).
//
// While weights are fixed between two periods of learning, events only read. The x^ and d^ in the
// first column above keep the values that they had when the weights stopped:
// S = sum x^_j(then) x^_j. `resume` brings each line up to date, at most once.
//
// With separate feedback weights, which are fixed, the second row holds those in place of V, and
// none of it moves; `fold` then takes the weights from the first row.
#ifndef NS_EVENTS_H
#define NS_EVENTS_H
#include "ns_kernels.h"
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <vector>
// The intrinsics are half of what a compiler reads here; without optimisation they gain nothing.
#if defined(__AVX__) && defined(__OPTIMIZE__)
#define NS_VECTORS 1
#include <immintrin.h>
#endif
#define NS_R __restrict
// A function with loops over numbers is compiled apart from its callers. Whether a compiler would
// put it into them depends on all else in the program, such as what is recorded; and the last bits
// of the numbers depend on that.
#if defined(__GNUC__) && !defined(__clang__)
#define NS_APART __attribute__((noipa))
#else
#define NS_APART __attribute__((noinline))
#endif
namespace ns {

// Appends to the `found` places in `index` those where `value` is above 0, counted from `begin`.
inline int positive(const double* value, int count, int begin, int32_t* index, int found) {
    int i = 0;
#if defined(NS_VECTORS) && defined(__AVX512F__) && defined(__AVX512VL__)
    // No branch: it would be mispredicted at every event. What is written past `found` is scratch.
    __m256i unit = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    unit = _mm256_add_epi32(unit, _mm256_set1_epi32(begin));
    for (; i + 8 <= count; i += 8) {
        const __m512d v = _mm512_loadu_pd(value + i);
        const __mmask8 m = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_GT_OQ);
        _mm256_storeu_si256((__m256i*)(index + found), _mm256_maskz_compress_epi32(m, unit));
        found += __builtin_popcount(m);
        unit = _mm256_add_epi32(unit, _mm256_set1_epi32(8));
    }
#elif defined(NS_VECTORS)
    for (; i + 4 <= count; i += 4) {
        const __m256d v = _mm256_loadu_pd(value + i);
        const __m256d above = _mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_GT_OQ);
        for (int m = _mm256_movemask_pd(above); m; m &= m - 1)
            index[found++] = begin + i + __builtin_ctz(m);
    }
#endif
    for (; i < count; i++) {
        index[found] = begin + i;
        found += value[i] > 0;
    }
    return found;
}

// The events of one step: the units that send, and their values before and after.
template <class T> struct Events {
    int count;
    const int32_t* unit;
    const T *from, *to;
};

// Units in `sending` (its last entry is their number) send their present value, or move the value
// last sent towards it by one quantum.
template <class T, int SIZE>
NS_APART inline Events<T> send(const int32_t* sending, const T* now, T* sent, T* events,
                               T* plastic_events, bool plastic, T quantum) {
    static std::vector<T> from(SIZE), to(SIZE);
    const int count = sending[SIZE];
    for (int e = 0; e < count; e++) {
        const int i = sending[e];
        from[e] = sent[i];
        to[e] = sent[i] = quantum > 0 ? sent[i] + std::copysign(quantum, now[i] - sent[i]) : now[i];
        events[i] += 1;
        if (plastic) plastic_events[i] += 1;
    }
    return {count, sending, from.data(), to.data()};
}

// Values sent STEPS steps ago arrive; `line` is a ring of the values sent since, oldest at `at`.
template <class T, int SIZE, int STEPS>
NS_APART inline Events<T> arrive(T* line, int32_t& at, const T* sent, T* received) {
    static std::vector<int32_t> unit(SIZE);
    static std::vector<T> from(SIZE), to(SIZE);
    T* slot = line + (size_t)at * SIZE;
    int count = 0;
    for (int i = 0; i < SIZE; i++) {
        if (slot[i] != received[i]) {
            unit[count] = i;
            from[count] = received[i];
            to[count++] = received[i] = slot[i];
        }
        slot[i] = sent[i];
    }
    at = (at + 1) % STEPS;
    return {count, unit.data(), from.data(), to.data()};
}

// Memory in large pages where available: with pages of 4 kB, the first access to a page costs more
// than writing it.
template <class T> struct Large {
    T* data = nullptr;
    explicit Large(size_t count) {
        const size_t page = size_t(1) << 21, bytes = (count * sizeof(T) + page - 1) / page * page;
        void* found = nullptr;
        if (posix_memalign(&found, page, bytes)) throw std::bad_alloc();
        madvise(found, bytes, MADV_HUGEPAGE);
        data = (T*)found;
    }
    Large(const Large&) = delete;
    ~Large() { std::free(data); }
};

// (rows, columns) to (columns, rows), in blocks of one cache line: rows whose length is a power of
// two compete for few sets of the cache.
template <class T> inline void transpose(int rows, int columns, const T* NS_R from, T* NS_R to) {
    const int B = 8;
    for (int r = 0; r < rows; r += B)
        for (int c = 0; c < columns; c += B)
            for (int j = c; j < std::min(c + B, columns); j++)
                for (int i = r; i < std::min(r + B, rows); i++)
                    to[(size_t)j * rows + i] = from[(size_t)i * columns + j];
}

// Lines of a matrix whose units send at the same step are added BLOCK at a time: with one line per
// pass, waiting for memory takes 2.5 times longer. Where weights move, each line is also brought up
// to date; with these writes more than MOVED lines per pass gain nothing.
const int BLOCK = 4, MOVED = 2;
template <int LENGTH, int COUNT, bool MOVES, class T>
NS_APART inline void add_lines(T* NS_R sum, T* const* given, const T* from, const T* to,
                               const T* NS_R integral) {
    T* line[COUNT];
    T change[COUNT], late = 0;
    for (int e = 0; e < COUNT; e++) {
        line[e] = given[e];
        change[e] = to[e] - from[e];
        late += change[e] * to[e];
    }
    _Pragma("GCC ivdep")
    for (int i = 0; i < LENGTH; i++) {
        T s = MOVES ? sum[i] - late * integral[i] : sum[i];
        _Pragma("GCC unroll 4")
        for (int e = 0; e < COUNT; e++) {
            const T w = line[e][i];
            s += change[e] * w;
            if (MOVES) line[e][i] = w - change[e] * integral[i];
        }
        sum[i] = s;
    }
}

// Each event adds its unit's line of the matrix, times its change, to the sum of its pattern;
// `units` is the number of units per pattern.
template <int LENGTH, bool MOVES, class T>
NS_APART inline void receive(const Events<T>& events, int units, T* matrix, T* sums,
                             const T* integral) {
    const int most = MOVES ? MOVED : BLOCK;
    T* line[BLOCK];
    for (int e = 0, next; e < events.count; e = next) {
        const int pattern = events.unit[e] / units;
        for (next = e; next < events.count && next - e < most
                 && events.unit[next] / units == pattern; next++)
            line[next - e] = matrix + (size_t)(events.unit[next] % units) * LENGTH;
        T* sum = sums + (size_t)pattern * LENGTH;
        switch (next - e) {
            case 4:
                add_lines<LENGTH, 4, MOVES>(sum, line, events.from + e, events.to + e, integral);
                break;
            case 3:
                add_lines<LENGTH, 3, MOVES>(sum, line, events.from + e, events.to + e, integral);
                break;
            case 2:
                add_lines<LENGTH, 2, MOVES>(sum, line, events.from + e, events.to + e, integral);
                break;
            default:
                add_lines<LENGTH, 1, MOVES>(sum, line, events.from + e, events.to + e, integral);
        }
    }
}

// One direction of a projection: `sum` holds A of every pattern, lines are those of U (or F, and
// V). EXACT: weights move by the integral along a line (one pattern).
template <class T, int K, int LENGTH, int UNITS, bool EXACT> struct Direction {
    std::vector<T> sum;       // A
    std::vector<T> integral;  // I
    std::vector<T> base;      // x^ at the time when weights stopped
    T squares = 0;            // S
    bool stale = true;        // whether `sum` has to be computed anew
    bool resting = false;     // whether weights are fixed since they last moved
    Direction()
        : sum((size_t)K * LENGTH), integral(EXACT ? LENGTH : 0), base(EXACT ? UNITS : 0) {}

    NS_APART void receive(const Events<T>& events, T* lines, bool moved) {
        if (EXACT && moved && !resting)
            ns::receive<LENGTH, true>(events, UNITS, lines, sum.data(), integral.data());
        else
            ns::receive<LENGTH, false>(events, UNITS, lines, sum.data(), integral.data());
        if (EXACT)
            for (int e = 0; e < events.count; e++)
                squares += resting ? base[events.unit[e]] * (events.to[e] - events.from[e])
                                   : events.to[e] * events.to[e] - events.from[e] * events.from[e];
    }

    // `sum` holds fresh products with `last`, the values last sent.
    NS_APART void refreshed(const T* last) {
        stale = false;
        squares = 0;
        if (EXACT)
            for (int j = 0; j < UNITS; j++) squares += last[j] * last[j];
    }

    // result += A + I S
    NS_APART void add_to(T* NS_R result, bool moved) const {
        const T *NS_R kept = sum.data(), *NS_R grown = integral.data();
        if (EXACT && moved)
            for (int i = 0; i < LENGTH; i++) result[i] += kept[i] + squares * grown[i];
        else
            for (size_t i = 0; i < (size_t)K * LENGTH; i++) result[i] += kept[i];
    }

    // Weights that have moved since the last `fold` resume learning, or stop.
    void gate(bool learns, const T* last, T* lines) {
        if (!EXACT || learns != resting) return;
        if (learns)
            resume(last, lines);
        else
            std::copy(last, last + UNITS, base.begin());
        resting = !learns;
    }

    // Brings the lines up to date whose units have sent events while weights were fixed.
    NS_APART void resume(const T* last, T* lines) {
        const T* NS_R grown = integral.data();
        T late = 0;
        for (int j = 0; j < UNITS; j++) {
            const T change = last[j] - base[j];
            if (change == 0) continue;
            late += change * last[j];
            T* NS_R line = lines + (size_t)j * LENGTH;
            for (int i = 0; i < LENGTH; i++) line[i] -= change * grown[i];
        }
        for (int i = 0; i < LENGTH; i++) sum[i] -= late * grown[i];
        refreshed(last);
    }

    // Copies the numbers to `next`, or from it; returns the place behind them.
    T* save(T* next) const {
        *next++ = squares;
        for (const auto* list : {&sum, &integral, &base})
            next = std::copy(list->begin(), list->end(), next);
        return next;
    }
    const T* restore(const T* next) {
        squares = *next++;
        for (auto* list : {&sum, &integral, &base}) {
            std::copy(next, next + list->size(), list->begin());
            next += list->size();
        }
        return next;
    }

    // Resets the integral, which has been added to the weights.
    void folded() {
        std::fill(integral.begin(), integral.end(), T(0));
        stale = true;
        resting = false;
    }
};

// Both directions of a projection. BACK: messages back have a receiver. OWN: feedback weights are
// separate from W.
template <class T, int K, int M, int N, bool EXACT, bool BACK, bool OWN = false>
struct EventProducts {
    static const bool V_MOVES = BACK && !OWN;
    Direction<T, K, M, N, EXACT> forward;
    Direction<T, K, BACK ? N : 0, M, EXACT && V_MOVES> backward;
    std::unique_ptr<Large<T>> columns;
    T* U = nullptr;
    bool transposed = false;  // whether U holds the weights
    bool moved = false;       // whether weights have moved by integrals since the last `fold`
    bool changed = true;      // whether an event has changed W x^ since the last `has_changed`

    // The array of the weights has changed.
    void weights_changed() {
        forward.stale = backward.stale = true;
        transposed = false;
    }

    // Whether W x^ may have changed since the last call.
    bool has_changed() {
        const bool found = changed || forward.stale;
        changed = false;
        return found;
    }

    void fill_columns(const T* W) {
        if (!U) columns.reset(new Large<T>((size_t)M * N)), U = columns->data;
        transpose(M, N, W, U);
        transposed = true;
    }

    // To be called before events are received, with the values `x` and `d` last sent.
    void gate_forward(bool learns, const T* x) {
        if (moved) forward.gate(learns, x, U);
    }
    void gate_backward(bool learns, const T* d, T* W) {
        if (moved) backward.gate(learns, d, W);
    }

    void receive_forward(const T* W, const Events<T>& events) {
        if (!events.count || forward.stale) return;
        changed = true;
        if (!transposed) {
            if (events.count > N / 8) {  // one product is less work
                forward.stale = true;
                return;
            }
            fill_columns(W);
        }
        forward.receive(events, U, moved);
    }

    void receive_backward(T* W, const Events<T>& events) {
        if (BACK && events.count && !backward.stale) backward.receive(events, W, moved);
    }

    // One Euler step of w += rate d x^T.
    NS_APART void learn(const T* W, const T* NS_R x, const T* NS_R d, T rate) {
        if (!transposed) fill_columns(W);
        for (int i = 0; i < M; i++) forward.integral[i] += rate * d[i];
        if (V_MOVES)
            for (int j = 0; j < N; j++) backward.integral[j] += rate * x[j];
        moved = true;
    }

    // Writes the present weights into `to`: the array W itself, or a copy of it.
    NS_APART void add_integrals(T* to, const T* x, const T* d) const {
        if (!EXACT || !moved) return;
        if (V_MOVES) {
            outer<1, M, N, T>(to, backward.resting ? backward.base.data() : d,
                              backward.integral.data(), T(1), T(1));
        } else {
            transpose(N, M, U, to);
            outer<1, M, N, T>(to, forward.integral.data(),
                              forward.resting ? forward.base.data() : x, T(1), T(1));
        }
    }

    // Brings the weights up to date. Recomputing the products afterwards bounds rounding. To be
    // called before events are received, so that no event finds stale products and moving weights.
    void fold(T* W, const T* x, const T* d) {
        add_integrals(W, x, d);
        if (EXACT && moved) {
            forward.folded();
            backward.folded();
            moved = transposed = false;
        }
        forward.stale = backward.stale = true;
    }

    // Everything that another process needs to go on as if this one had not ended, in `memory`;
    // then W is brought up to date for readers. `Synapses.memory` in groups.py has its size.
    void save(T* memory, T* W, const T* x, const T* d) const {
        T* next = memory;
        for (bool is : {true, transposed, moved, forward.stale, forward.resting, backward.stale,
                        backward.resting})
            *next++ = is;
        next = backward.save(forward.save(next));
        if (!EXACT || !moved) return;
        next = std::copy(U, U + (size_t)M * N, next);
        std::copy(W, W + (size_t)M * N, next);
        add_integrals(W, x, d);
    }
    void restore(const T* memory, T* W) {
        if (memory[0] == 0) return;
        moved = memory[2] != 0;
        forward.stale = memory[3] != 0, forward.resting = memory[4] != 0;
        backward.stale = memory[5] != 0, backward.resting = memory[6] != 0;
        const T* next = backward.restore(forward.restore(memory + 7));
        if (EXACT && moved) std::copy(next + (size_t)M * N, next + 2 * (size_t)M * N, W);
        if (memory[1] != 0) fill_columns(W);
        if (EXACT && moved) std::copy(next, next + (size_t)M * N, U);
    }
};

// The products of one projection, by its number.
template <int ID, class P> inline P& event_products() {
    static P one;
    return one;
}

}  // namespace ns
#undef NS_R
#endif
