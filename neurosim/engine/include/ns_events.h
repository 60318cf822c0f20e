// Events: what a population says, and what a projection keeps of what it heard.
//
// A projection keeps A = W x^ and F = W^T d^ of the values x^ and d^ that were last said; an event changes them by one
// column or row of W. Columns are read in a transposed copy U. While the weights of one pattern move, dW/dt = d^ x^T
// with both factors constant between events, so neither matrix is touched by a step, and by an event in one line only:
//
//     W = U + I x^T    I_i = integral of d^_i    W x^   = A + I S    S = sum x^_j^2    x_j speaks: column j of U
//     W = V + d^ J^T   J_j = integral of x^_j    W^T d^ = F + J R    R = sum d^_i^2    d_i speaks: row i of V
//
// Exact; `fold` brings the weights up to date.
#ifndef NS_EVENTS_H
#define NS_EVENTS_H
#include "ns_kernels.h"
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <vector>
#define NS_R __restrict
namespace ns {

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

// EXACT: weights move by integrals (one pattern), and the array of the weights is V; BACK: what comes back has a reader
template <class T, int K, int M, int N, bool EXACT, bool BACK> struct Held {
    std::vector<T> A, F, I, J;
    std::unique_ptr<Large<T>> columns;
    T* U = nullptr;
    T S = 0, R = 0;
    bool forward_stale = true, backward_stale = true, turned = false, moved = false;
    Held() : A((size_t)K * M), F(BACK ? (size_t)K * N : 0), I(EXACT ? M : 0), J(EXACT && BACK ? N : 0) {}

    // the weights are others
    void stale() {
        forward_stale = backward_stale = true;
        turned = false;
    }

    void turn(const T* W) {
        if (!U) columns.reset(new Large<T>((size_t)M * N)), U = columns->data;
        transpose(M, N, W, U);
        turned = true;
    }

    void hear_forward(const T* W, const Said<T>& said) {
        if (!said.count || forward_stale) return;
        if (!turned) {
            if (said.count > N / 8) {  // one product is less work
                forward_stale = true;
                return;
            }
            turn(W);
        }
        const T* NS_R integral = I.data();
        for (int e = 0; e < said.count; e++) {
            const T change = said.to[e] - said.from[e];
            T* NS_R a = A.data() + (size_t)(said.unit[e] / N) * M;
            T* NS_R u = U + (size_t)(said.unit[e] % N) * M;
            if (EXACT && moved) {
                const T late = change * said.to[e];
                for (int i = 0; i < M; i++) {
                    a[i] += change * u[i] - late * integral[i];
                    u[i] -= change * integral[i];
                }
            } else
                for (int i = 0; i < M; i++) a[i] += change * u[i];
            if (EXACT) S += said.to[e] * said.to[e] - said.from[e] * said.from[e];
        }
    }

    void hear_backward(T* W, const Said<T>& said) {
        if (!BACK || !said.count || backward_stale) return;
        const T* NS_R integral = J.data();
        for (int e = 0; e < said.count; e++) {
            const T change = said.to[e] - said.from[e];
            T* NS_R f = F.data() + (size_t)(said.unit[e] / M) * N;
            T* NS_R v = W + (size_t)(said.unit[e] % M) * N;
            if (EXACT && moved) {
                const T late = change * said.to[e];
                for (int j = 0; j < N; j++) {
                    f[j] += change * v[j] - late * integral[j];
                    v[j] -= change * integral[j];
                }
            } else
                for (int j = 0; j < N; j++) f[j] += change * v[j];
            if (EXACT) R += said.to[e] * said.to[e] - said.from[e] * said.from[e];
        }
    }

    // A and F hold fresh products
    void forward_known(const T* x) {
        forward_stale = false;
        S = 0;
        if (EXACT)
            for (int j = 0; j < N; j++) S += x[j] * x[j];
    }
    void backward_known(const T* d) {
        backward_stale = false;
        R = 0;
        if (EXACT)
            for (int i = 0; i < M; i++) R += d[i] * d[i];
    }

    void read_forward(T* NS_R a) const {
        const T *NS_R held = A.data(), *NS_R integral = I.data();
        if (EXACT && moved)
            for (int i = 0; i < M; i++) a[i] += held[i] + S * integral[i];
        else
            for (size_t i = 0; i < (size_t)K * M; i++) a[i] += held[i];
    }
    void read_backward(T* NS_R f) const {
        const T *NS_R held = F.data(), *NS_R integral = J.data();
        if (EXACT && moved)
            for (int j = 0; j < N; j++) f[j] += held[j] + R * integral[j];
        else
            for (size_t j = 0; j < (size_t)K * N; j++) f[j] += held[j];
    }

    // one Euler step of w += rate d x^T
    void learn(const T* W, const T* NS_R x, const T* NS_R d, T rate) {
        if (!turned) turn(W);
        for (int i = 0; i < M; i++) I[i] += rate * d[i];
        if (BACK)
            for (int j = 0; j < N; j++) J[j] += rate * x[j];
        moved = true;
    }

    // the weights as they are; products are computed anew, which bounds rounding
    void fold(T* W, const T* x, const T* d) {
        if (EXACT && moved) {
            if (BACK) {
                outer<1, M, N, T>(W, d, J.data(), T(1), T(1));
            } else {
                transpose(N, M, U, W);
                outer<1, M, N, T>(W, I.data(), x, T(1), T(1));
            }
            std::fill(I.begin(), I.end(), T(0));
            std::fill(J.begin(), J.end(), T(0));
            moved = turned = false;
        }
        forward_stale = backward_stale = true;
    }
};

template <int ID, class H> inline H& held() {
    static H one;
    return one;
}

}  // namespace ns
#undef NS_R
#endif
