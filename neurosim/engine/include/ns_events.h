// Events: what a population says, and what a projection keeps of what it heard.
//
// A projection keeps A = W x^ and F = W^T d^ of the values x^ and d^ that were last said, and changes them by one
// column or row of W for each event. While weights move (one pattern), W = u + I x^T with I_i the integral of d^_i:
// an event changes one column of u, a step changes I alone, and W x^ = A + I S, W^T d^ = F + x^ Q are read in O(1) a
// unit, with S = sum x^_j^2, Q = sum I_i d^_i, P = sum d^_i^2 = dQ/dt. Exact; `fold` puts I into the weights.
#ifndef NS_EVENTS_H
#define NS_EVENTS_H
#include "ns_kernels.h"
#include <algorithm>
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

// of one dense projection; EXACT: weights move by I, BACK: what comes back has a reader
template <class T, int K, int M, int N, bool EXACT, bool BACK> struct Held {
    std::vector<T> A, F, I;
    T S = 0, Q = 0, P = 0;
    bool forward_stale = true, backward_stale = true, moved = false;
    Held() : A((size_t)K * M), F(BACK ? (size_t)K * N : 0), I(EXACT ? M : 0) {}

    void stale() { forward_stale = backward_stale = true; }

    void hear_forward(T* NS_R W, const Said<T>& said) {
        if (!said.count || forward_stale) return;
        T* NS_R a = A.data();
        const T* NS_R integral = I.data();
        for (int i = 0; i < M; i++) {
            T* NS_R row = W + (size_t)i * N;
            for (int e = 0; e < said.count; e++) {
                const int k = said.unit[e] / N, j = said.unit[e] % N;
                const T change = said.to[e] - said.from[e];
                T product = row[j] * change;
                if (EXACT && moved) {
                    product -= change * said.to[e] * integral[i];
                    row[j] -= change * integral[i];
                }
                a[(size_t)k * M + i] += product;
            }
        }
        if (EXACT)
            for (int e = 0; e < said.count; e++) {
                S += said.to[e] * said.to[e] - said.from[e] * said.from[e];
                if (BACK) F[said.unit[e]] -= (said.to[e] - said.from[e]) * Q;
            }
    }

    void hear_backward(const T* NS_R W, const Said<T>& said) {
        if (!BACK || !said.count || backward_stale) return;
        for (int e = 0; e < said.count; e++) {
            const int k = said.unit[e] / M, i = said.unit[e] % M;
            const T change = said.to[e] - said.from[e];
            const T* NS_R row = W + (size_t)i * N;
            T* NS_R f = F.data() + (size_t)k * N;
            for (int j = 0; j < N; j++) f[j] += change * row[j];
            if (EXACT) {
                Q += I[i] * change;
                P += said.to[e] * said.to[e] - said.from[e] * said.from[e];
            }
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
        Q = P = 0;
        if (EXACT)
            for (int i = 0; i < M; i++) {
                Q += I[i] * d[i];
                P += d[i] * d[i];
            }
    }

    void read_forward(T* NS_R a) const {
        const T* NS_R held = A.data();
        for (size_t i = 0; i < (size_t)K * M; i++) a[i] += held[i];
        if (EXACT && moved)
            for (int i = 0; i < M; i++) a[i] += I[i] * S;
    }
    void read_backward(const T* NS_R x, T* NS_R f) const {
        const T* NS_R held = F.data();
        for (size_t j = 0; j < (size_t)K * N; j++) f[j] += held[j];
        if (EXACT && moved)
            for (int j = 0; j < N; j++) f[j] += x[j] * Q;
    }

    // one Euler step of w += rate d x^T, nothing of w touched
    void learn(const T* NS_R d, T rate) {
        for (int i = 0; i < M; i++) I[i] += rate * d[i];
        Q += rate * P;
        moved = true;
    }

    // the weights as they are; what is known of their products is computed anew, which bounds rounding
    void fold(T* NS_R W, const T* NS_R x) {
        if (EXACT && moved) {
            outer<1, M, N, T>(W, I.data(), x, T(1), T(1));
            std::fill(I.begin(), I.end(), T(0));
            moved = false;
        }
        stale();
    }
};

template <int ID, class H> inline H& held() {
    static H one;
    return one;
}

}  // namespace ns
#undef NS_R
#endif
