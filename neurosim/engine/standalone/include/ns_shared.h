// Shared weights: W (O terms, G postsynaptic features, F presynaptic features) at every site.
//
// a[t, g] += sum_o sum_s A_o[t, s] sum_f W_o[g, f] x[s, f]. The fixed entries of A_o are compressed
// rows (`Table`); `engine/mixing.py` decides whether sites are mixed before the product or after
// it. Patterns are taken in blocks, so that what lies in between stays in the cache. R and V are the
// features that are read and written; backward, x is delta, and R and V change places.
#ifndef NS_SHARED_H
#define NS_SHARED_H
#include "ns_kernels.h"
#ifdef NS_BLAS
#include <vector>
#define NS_R __restrict
namespace ns {

// Compressed rows: the entries of row r are row[r] to row[r + 1] - 1.
template <class T> struct Table {
    const int32_t *row, *col;
    const T* value;
};

// to (ROWS, F) (+)= table from (., F)
template <int ROWS, int F, bool ADD, class T>
inline void mix(const Table<T>& table, const T* NS_R from, T* NS_R to) {
    for (int r = 0; r < ROWS; r++) {
        T* NS_R out = to + (size_t)r * F;
        int p = table.row[r];
        const int end = table.row[r + 1];
        if (!ADD) {
            if (p == end) {
                std::fill_n(out, F, T(0));
                continue;
            }
            const T* NS_R in = from + (size_t)table.col[p] * F;
            const T v = table.value[p++];
            if (v == 1)
                std::copy_n(in, F, out);
            else
                for (int f = 0; f < F; f++) out[f] = v * in[f];
        }
        for (; p < end; p++) {
            const T* NS_R in = from + (size_t)table.col[p] * F;
            const T v = table.value[p];
            for (int f = 0; f < F; f++) out[f] += v * in[f];
        }
    }
}

// Memory of all shared projections for what lies between the two operations.
template <class T> inline T* scratch(size_t count) {
    static std::vector<T> memory;
    if (memory.size() < count) memory.resize(count);
    return memory.data();
}

// The matrix of a product, in the layout that it needs. TURNED: the read and the written features
// of W, (O, G, F), change places within a term, or terms and read features do.
template <int O, int A, int B, bool BY_TERM, class T> inline const T* turned(const T* NS_R W) {
    static std::vector<T> memory((size_t)O * A * B);
    for (int o = 0; o < O; o++)
        for (int a = 0; a < A; a++)
            for (int b = 0; b < B; b++) {
                const size_t place = BY_TERM ? ((size_t)o * B + b) * A + a : ((size_t)a * O + o) * B + b;
                memory[place] = W[((size_t)o * A + a) * B + b];
            }
    return memory.data();
}

// total (K, T sites, V) += product of values (K, S sites, R); BLOCK patterns at a time
template <int K, int S, int SITES, int O, int G, int F, bool BACK, bool FIRST, int BLOCK, class T>
inline void shared_product(const T* W, const Table<T>& table, const T* values, T* total) {
    const int R = BACK ? G : F, V = BACK ? F : G;
    const T* matrix = W;
    if (FIRST && !BACK) matrix = turned<O, G, F, true>(W);   // (O R, V)
    if (!FIRST && BACK) matrix = turned<O, G, F, false>(W);  // (R, O V)
    T* between = scratch<T>((size_t)BLOCK * (FIRST ? (size_t)SITES * O * R : (size_t)S * O * V));
    for (int from = 0; from < K; from += BLOCK) {
        const int count = std::min(BLOCK, K - from);
        const T* x = values + (size_t)from * S * R;
        T* a = total + (size_t)from * SITES * V;
        if (FIRST) {
            for (int k = 0; k < count; k++)
                mix<SITES * O, R, false>(table, x + (size_t)k * S * R,
                                         between + (size_t)k * SITES * O * R);
            gemm(NO, NO, count * SITES, V, O * R, T(1), between, O * R, matrix, V, T(1), a, V);
            continue;
        }
        gemm(NO, BACK ? NO : YES, count * S, O * V, R, T(1), x, R, matrix, BACK ? O * V : R, T(0),
             between, O * V);
        for (int k = 0; k < count; k++)
            mix<SITES, V, true>(table, between + (size_t)k * S * O * V, a + (size_t)k * SITES * V);
    }
}

// W = s W + h delta x, summed over sites and patterns. FIRST: the table mixes x, else delta.
template <int K, int S, int SITES, int O, int G, int F, bool FIRST, int BLOCK, class T>
inline void shared_outer(T* W, const Table<T>& table, const T* delta, const T* x, T s, T h) {
    static std::vector<T> by_post(FIRST ? (size_t)G * O * F : 0);
    T* mixed = scratch<T>((size_t)BLOCK * O * (FIRST ? (size_t)SITES * F : (size_t)S * G));
    for (int from = 0; from < K; from += BLOCK) {
        const int count = std::min(BLOCK, K - from);
        const T* d = delta + (size_t)from * SITES * G;
        const T* in = x + (size_t)from * S * F;
        for (int k = 0; k < count; k++) {
            if (FIRST)
                mix<SITES * O, F, false>(table, in + (size_t)k * S * F,
                                         mixed + (size_t)k * SITES * O * F);
            else
                mix<S * O, G, false>(table, d + (size_t)k * SITES * G,
                                     mixed + (size_t)k * S * O * G);
        }
        if (FIRST)
            gemm(YES, NO, G, O * F, count * SITES, h, d, G, mixed, O * F, T(from > 0),
                 by_post.data(), O * F);
        else
            gemm(YES, NO, O * G, F, count * S, h, mixed, O * G, in, F, from ? T(1) : s, W, F);
    }
    if (FIRST)
        for (int o = 0; o < O; o++)
            for (int g = 0; g < G; g++)
                for (int f = 0; f < F; f++) {
                    T& w = W[((size_t)o * G + g) * F + f];
                    w = s * w + by_post[((size_t)g * O + o) * F + f];
                }
}

// W = the values of one end, (its sites, its features), summed over the entries of each term.
// FIRST: the rows of the table are (post site, term), its columns pre sites; else (pre site, term)
// and post sites. POST: the values are those of post sites.
template <int S, int SITES, int O, int G, int F, bool FIRST, bool POST, class T>
inline void shared_spread(T* NS_R W, const Table<T>& table, const T* NS_R values) {
    const int WIDTH = POST ? G : F;
    T sums[O][WIDTH] = {};
    for (int r = 0; r < (FIRST ? SITES : S) * O; r++)
        for (int p = table.row[r]; p < table.row[r + 1]; p++) {
            const int site = FIRST == POST ? r / O : table.col[p];
            for (int i = 0; i < WIDTH; i++)
                sums[r % O][i] += table.value[p] * values[(size_t)site * WIDTH + i];
        }
    for (int o = 0; o < O; o++)
        for (int g = 0; g < G; g++)
            for (int f = 0; f < F; f++) W[((size_t)o * G + g) * F + f] = sums[o][POST ? g : f];
}

// w_g *= max(1 - size/|w_g|, 0), where a group is all weights of a feature, post or pre
template <int O, int G, int F, bool POST, class T> inline void shrink_features(T* NS_R W, T size) {
    if (size == 0) return;
    static T left[POST ? G : F];
    std::fill(left, left + (POST ? G : F), T(0));
    for (int p = 0; p < O * G * F; p++) left[POST ? p / F % G : p % F] += W[p] * W[p];
    for (T& square : left) square = square > size * size ? 1 - size / std::sqrt(square) : T(0);
    for (int p = 0; p < O * G * F; p++) W[p] *= left[POST ? p / F % G : p % F];
}

}  // namespace ns
#undef NS_R
#endif
#endif
