// Events: what a population says, and what a projection keeps of what it heard.
//
// A projection keeps A = W x^ and F = W^T d^ of the values x^ and d^ that were last said; an event changes them by one
// column or row of W. Columns are read in a transposed copy U. While the weights of one pattern move, dW/dt = d^ x^T
// with both factors constant between events, so neither matrix is touched by a step, and by an event in one line only:
//
//     W = U + I x^T    I_i = integral of d^_i    W x^   = A + I S    S = sum x^_j^2    x_j speaks: column j of U
//     W = V + d^ J^T   J_j = integral of x^_j    W^T d^ = F + J R    R = sum d^_i^2    d_i speaks: row i of V
//
// While weights rest between two times of learning, the x^ and d^ of the first column stay what they were when they came
// to rest: S = sum x^_j(then) x^_j, and an event only reads. `wake` brings each line up to date at most once.
// Exact; `fold` brings the weights up to date. Where messages go back through weights of their own, which rest, the second
// column has those in place of V and nothing of it moves; the array of the weights is then brought up to date by the first.
#ifndef NS_EVENTS_H
#define NS_EVENTS_H
#include "ns_kernels.h"
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <vector>
#ifdef __AVX__
#include <immintrin.h>
#endif
#define NS_R __restrict
namespace ns {

// Where `value` is above 0, counted from `begin`: appended to the `found` that `index` holds already.
inline int positive(const double* value, int count, int begin, int32_t* index, int found) {
    int i = 0;
#if defined(__AVX512F__) && defined(__AVX512VL__)
    // without a branch, which a unit that speaks now and then would lead astray; what is written past `found` is scratch
    __m256i unit = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(begin));
    for (; i + 8 <= count; i += 8) {
        const __mmask8 m = _mm512_cmp_pd_mask(_mm512_loadu_pd(value + i), _mm512_setzero_pd(), _CMP_GT_OQ);
        _mm256_storeu_si256((__m256i*)(index + found), _mm256_maskz_compress_epi32(m, unit));
        found += __builtin_popcount(m);
        unit = _mm256_add_epi32(unit, _mm256_set1_epi32(8));
    }
#elif defined(__AVX__)
    for (; i + 4 <= count; i += 4)
        for (int m = _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(value + i), _mm256_setzero_pd(), _CMP_GT_OQ)); m; m &= m - 1)
            index[found++] = begin + i + __builtin_ctz(m);
#endif
    for (; i < count; i++) {
        index[found] = begin + i;
        found += value[i] > 0;
    }
    return found;
}

// who spoke, from which value to which
template <class T> struct Said {
    int count;
    const int32_t* unit;
    const T *from, *to;
};

// Units in `space` (their number in its last place) say what they are now: all of it, or one quantum of it.
template <class T, int SIZE>
inline Said<T> speak(const int32_t* space, const T* now, T* sent, T* spoken, T* taught, bool plastic, T quantum) {
    static std::vector<T> from(SIZE), to(SIZE);
    const int count = space[SIZE];
    for (int e = 0; e < count; e++) {
        const int i = space[e];
        from[e] = sent[i];
        to[e] = sent[i] = quantum > 0 ? sent[i] + std::copysign(quantum, now[i] - sent[i]) : now[i];
        spoken[i] += 1;
        if (plastic) taught[i] += 1;
    }
    return {count, space, from.data(), to.data()};
}

// What was said STEPS ago is heard; `line` holds what was said since, beginning at `at`.
template <class T, int SIZE, int STEPS>
inline Said<T> arrive(T* line, int32_t& at, const T* sent, T* heard) {
    static std::vector<int32_t> unit(SIZE);
    static std::vector<T> from(SIZE), to(SIZE);
    T* slot = line + (size_t)at * SIZE;
    int count = 0;
    for (int i = 0; i < SIZE; i++) {
        if (slot[i] != heard[i]) {
            unit[count] = i;
            from[count] = heard[i];
            to[count++] = heard[i] = slot[i];
        }
        slot[i] = sent[i];
    }
    at = (at + 1) % STEPS;
    return {count, unit.data(), from.data(), to.data()};
}

// Memory in large pages where there are any: the first touch of 4 kB each costs more than what is written there.
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

// (rows, columns) to (columns, rows), by blocks of one cache line: rows whose length is a power of two share few sets
template <class T> inline void transpose(int rows, int columns, const T* NS_R from, T* NS_R to) {
    const int B = 8;
    for (int r = 0; r < rows; r += B)
        for (int c = 0; c < columns; c += B)
            for (int j = c; j < std::min(c + B, columns); j++)
                for (int i = r; i < std::min(r + B, rows); i++) to[(size_t)j * rows + i] = from[(size_t)i * columns + j];
}

// Lines of a matrix whose units spoke together, added up in one pass: BLOCK of them, for one line a pass waits for memory
// 2.5 times longer. Where weights move each line is brought up to date too; writing does not gain from more than MOVED.
const int BLOCK = 4, MOVED = 2;
template <int LENGTH, int COUNT, bool MOVES, class T>
inline void add_lines(T* NS_R sum, T* const* given, const T* from, const T* to, const T* NS_R integral) {
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

// What was said by units of which every pattern has `units`: each adds its line of the matrix to its pattern's sum.
template <int LENGTH, bool MOVES, class T>
inline void hear(const Said<T>& said, int units, T* matrix, T* sums, const T* integral) {
    const int most = MOVES ? MOVED : BLOCK;
    T* line[BLOCK];
    for (int e = 0, next; e < said.count; e = next) {
        const int pattern = said.unit[e] / units;
        for (next = e; next < said.count && next - e < most && said.unit[next] / units == pattern; next++)
            line[next - e] = matrix + (size_t)(said.unit[next] % units) * LENGTH;
        T* sum = sums + (size_t)pattern * LENGTH;
        switch (next - e) {
            case 4: add_lines<LENGTH, 4, MOVES>(sum, line, said.from + e, said.to + e, integral); break;
            case 3: add_lines<LENGTH, 3, MOVES>(sum, line, said.from + e, said.to + e, integral); break;
            case 2: add_lines<LENGTH, 2, MOVES>(sum, line, said.from + e, said.to + e, integral); break;
            default: add_lines<LENGTH, 1, MOVES>(sum, line, said.from + e, said.to + e, integral);
        }
    }
}

// One direction of a projection: `sum` holds A of every pattern, lines are those of U (or F, and V). EXACT: weights move
// by the integral along a line (one pattern).
template <class T, int K, int LENGTH, int UNITS, bool EXACT> struct Side {
    std::vector<T> sum, integral, base;  // A, I, and x^ as it was when weights came to rest
    T squares = 0;                       // S
    bool stale = true, resting = false;
    Side() : sum((size_t)K * LENGTH), integral(EXACT ? LENGTH : 0), base(EXACT ? UNITS : 0) {}

    void hear(const Said<T>& said, T* lines, bool moved) {
        if (EXACT && moved && !resting)
            ns::hear<LENGTH, true>(said, UNITS, lines, sum.data(), integral.data());
        else
            ns::hear<LENGTH, false>(said, UNITS, lines, sum.data(), integral.data());
        if (EXACT)
            for (int e = 0; e < said.count; e++)
                squares += resting ? base[said.unit[e]] * (said.to[e] - said.from[e])
                                   : said.to[e] * said.to[e] - said.from[e] * said.from[e];
    }

    // `sum` holds fresh products with `last`, what was last said
    void known(const T* last) {
        stale = false;
        squares = 0;
        if (EXACT)
            for (int j = 0; j < UNITS; j++) squares += last[j] * last[j];
    }

    void read(T* NS_R result, bool moved) const {
        const T *NS_R held = sum.data(), *NS_R grown = integral.data();
        if (EXACT && moved)
            for (int i = 0; i < LENGTH; i++) result[i] += held[i] + squares * grown[i];
        else
            for (size_t i = 0; i < (size_t)K * LENGTH; i++) result[i] += held[i];
    }

    // weights that have moved go on to do so, or rest
    void gate(bool learns, const T* last, T* lines) {
        if (!EXACT || learns != resting) return;
        if (learns)
            wake(last, lines);
        else
            std::copy(last, last + UNITS, base.begin());
        resting = !learns;
    }

    // the lines of units that spoke while weights rested
    void wake(const T* last, T* lines) {
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
        known(last);
    }

    // the integral begins anew
    void folded() {
        std::fill(integral.begin(), integral.end(), T(0));
        stale = true;
        resting = false;
    }
};

// Both directions; the array of the weights is V. BACK: what comes back has a reader. OWN: through weights of its own.
template <class T, int K, int M, int N, bool EXACT, bool BACK, bool OWN = false> struct Held {
    static const bool TURNS = BACK && !OWN;  // whether V moves
    Side<T, K, M, N, EXACT> forward;
    Side<T, K, BACK ? N : 0, M, EXACT && TURNS> backward;
    std::unique_ptr<Large<T>> columns;
    T* U = nullptr;
    bool turned = false, moved = false, news = true;

    // the weights are others
    void stale() {
        forward.stale = backward.stale = true;
        turned = false;
    }

    // whether W x^ may be another than when this was last asked
    bool received() {
        const bool found = news || forward.stale;
        news = false;
        return found;
    }

    void turn(const T* W) {
        if (!U) columns.reset(new Large<T>((size_t)M * N)), U = columns->data;
        transpose(M, N, W, U);
        turned = true;
    }

    // before events are heard: `x` and `d` as they were last said
    void gate_forward(bool learns, const T* x) {
        if (moved) forward.gate(learns, x, U);
    }
    void gate_backward(bool learns, const T* d, T* W) {
        if (moved) backward.gate(learns, d, W);
    }

    void hear_forward(const T* W, const Said<T>& said) {
        if (!said.count || forward.stale) return;
        news = true;
        if (!turned) {
            if (said.count > N / 8) {  // one product is less work
                forward.stale = true;
                return;
            }
            turn(W);
        }
        forward.hear(said, U, moved);
    }

    void hear_backward(T* W, const Said<T>& said) {
        if (BACK && said.count && !backward.stale) backward.hear(said, W, moved);
    }

    // one Euler step of w += rate d x^T
    void learn(const T* W, const T* NS_R x, const T* NS_R d, T rate) {
        if (!turned) turn(W);
        for (int i = 0; i < M; i++) forward.integral[i] += rate * d[i];
        if (TURNS)
            for (int j = 0; j < N; j++) backward.integral[j] += rate * x[j];
        moved = true;
    }

    // the weights as they are; products are computed anew, which bounds rounding
    void fold(T* W, const T* x, const T* d) {
        if (EXACT && moved) {
            if (TURNS) {
                outer<1, M, N, T>(W, backward.resting ? backward.base.data() : d, backward.integral.data(), T(1), T(1));
            } else {
                transpose(N, M, U, W);
                outer<1, M, N, T>(W, forward.integral.data(), forward.resting ? forward.base.data() : x, T(1), T(1));
            }
            forward.folded();
            backward.folded();
            moved = turned = false;
        }
        forward.stale = backward.stale = true;
    }
};

template <int ID, class H> inline H& held() {
    static H one;
    return one;
}

}  // namespace ns
#undef NS_R
#endif
