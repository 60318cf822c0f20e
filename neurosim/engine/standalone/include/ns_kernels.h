// Kernels: the products of a projection, the steps of its weights, and sums over populations.
//
// Weights are W (M postsynaptic, N presynaptic), row by row, stored once; x is (K patterns, N), a
// and delta are (K, M), feedback is (K, N). In the code d is delta and f is feedback; a step is
// W = s W + h delta^T x. With K = 1, products are loops with sizes known to the compiler; with more
// patterns, OpenBLAS where it is linked (NS_BLAS). Sparse weights are compressed rows: w, with
// `row` (M + 1) and `col`, as in SciPy. Buffers and flags of a program are identified by number:
// flag 0 is set if any net input must be recomputed, the flag of a projection if its kept product
// must be. `rows` is how many patterns, the first ones, a kernel takes; see ns_settling.h.
#ifndef NS_KERNELS_H
#define NS_KERNELS_H
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#define NS_R __restrict
namespace ns {

#ifdef NS_BLAS
extern "C" void scipy_cblas_dgemm(int, int, int, int, int, int, double, const double*, int,
                                  const double*, int, double, double*, int);
extern "C" void scipy_cblas_sgemm(int, int, int, int, int, int, float, const float*, int,
                                  const float*, int, float, float*, int);
const int NO = 111, YES = 112;  // transposed?
// c = alpha a b + beta c, row by row
inline void gemm(int ta, int tb, int m, int n, int k, double alpha, const double* a, int lda,
                 const double* b, int ldb, double beta, double* c, int ldc) {
    scipy_cblas_dgemm(101, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
inline void gemm(int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc) {
    scipy_cblas_sgemm(101, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
#endif

// Memory of one program, shared by its code objects, by number.
template <class T, int ID, size_t SIZE> inline T* buffer(std::false_type) {
    alignas(64) static T data[SIZE];
    return data;
}
// Large buffers are allocated: static data of a program are limited to 2 GB in all.
template <class T, int ID, size_t SIZE> inline T* buffer(std::true_type) {
    static const std::unique_ptr<T[]> data(new T[SIZE]());
    return data.get();
}
template <class T, int ID, size_t SIZE> inline T* buffer() {
    const bool large = SIZE * sizeof(T) > (size_t(1) << 24);
    return buffer<T, ID, SIZE>(std::integral_constant<bool, large>());
}
// Flags and scale factors of one program, by number: 1 until they are changed.
template <int ID> inline int& flag() {
    static int value = 1;
    return value;
}
template <int ID> inline double& scale() {
    static double value = 1;
    return value;
}

// y = s y + h x
template <class T> inline void blend(size_t n, T s, T h, const T* NS_R x, T* NS_R y) {
    _Pragma("GCC ivdep")
    for (size_t i = 0; i < n; i++) y[i] = s * y[i] + h * x[i];
}

// a = b for every pattern; with `drive`, the kept product of a clamped input, a = b + drive
template <int K, int M, class T>
inline void spread_biases(const T* NS_R b, T* NS_R a, int rows = K) {
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < M; i++) a[(size_t)k * M + i] = b[i];
}
template <int K, int M, class T>
inline void spread_biases(const T* NS_R b, const T* NS_R drive, T* NS_R a, int rows = K) {
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < M; i++) a[(size_t)k * M + i] = b[i] + drive[(size_t)k * M + i];
}

// a += x W^T
template <int K, int M, int N, class T>
inline void forward(const T* NS_R W, const T* NS_R x, T* NS_R a, int rows = K) {
#ifdef NS_BLAS
    if (K > 1) return gemm(NO, YES, rows, M, N, T(1), x, N, W, N, T(1), a, M);
#endif
    for (int k = 0; k < rows; k++) {
        const T* NS_R xk = x + (size_t)k * N;
        T* NS_R ak = a + (size_t)k * M;
        int i = 0;
        for (; i + 4 <= M; i += 4) {  // four rows at once: x is read once for all
            const T *NS_R w0 = W + (size_t)i * N, *NS_R w1 = w0 + N;
            const T *NS_R w2 = w1 + N, *NS_R w3 = w2 + N;
            T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            for (int j = 0; j < N; j++) {
                s0 += w0[j] * xk[j];
                s1 += w1[j] * xk[j];
                s2 += w2[j] * xk[j];
                s3 += w3[j] * xk[j];
            }
            ak[i] += s0;
            ak[i + 1] += s1;
            ak[i + 2] += s2;
            ak[i + 3] += s3;
        }
        for (; i < M; i++) {
            T s = 0;
            for (int j = 0; j < N; j++) s += W[(size_t)i * N + j] * xk[j];
            ak[i] += s;
        }
    }
}

// feedback (+)= delta W
template <int K, int M, int N, bool ADD, class T>
inline void backward(const T* NS_R W, const T* NS_R d, T* NS_R f, int rows = K) {
#ifdef NS_BLAS
    const int strip = 256;  // patterns, whose feedback stays in the cache until it is complete
    for (int from = 0; K > 1 && from < rows; from += strip)
        gemm(NO, NO, std::min(strip, rows - from), N, M, T(1), d + (size_t)from * M, M, W, N, T(ADD),
             f + (size_t)from * N, N);
    if (K > 1) return;
#endif
    if (!ADD) std::memset(f, 0, (size_t)rows * N * sizeof(T));
    for (int k = 0; k < rows; k++) {
        T* NS_R fk = f + (size_t)k * N;
        int i = 0;
        for (; i + 2 <= M; i += 2) {
            const T *NS_R w0 = W + (size_t)i * N, *NS_R w1 = w0 + N;
            const T d0 = d[(size_t)k * M + i], d1 = d[(size_t)k * M + i + 1];
            for (int j = 0; j < N; j++) fk[j] += w0[j] * d0 + w1[j] * d1;
        }
        for (; i < M; i++) {
            const T* NS_R w = W + (size_t)i * N;
            const T di = d[(size_t)k * M + i];
            for (int j = 0; j < N; j++) fk[j] += w[j] * di;
        }
    }
}

// One pattern, both in one pass over the weights: feedback (+)= delta W, then W = s W + h delta x^T
template <int M, int N, bool ADD, class T>
inline void backward_and_learn(T* NS_R W, const T* NS_R d, const T* NS_R x, T* NS_R f, T s, T h) {
    if (!ADD) std::memset(f, 0, N * sizeof(T));
    int i = 0;
    for (; i + 2 <= M; i += 2) {
        T *NS_R w0 = W + (size_t)i * N, *NS_R w1 = w0 + N;
        const T d0 = d[i], d1 = d[i + 1], c0 = h * d0, c1 = h * d1;
        for (int j = 0; j < N; j++) {
            f[j] += w0[j] * d0 + w1[j] * d1;
            w0[j] = s * w0[j] + c0 * x[j];
            w1[j] = s * w1[j] + c1 * x[j];
        }
    }
    for (; i < M; i++) {
        T* NS_R w = W + (size_t)i * N;
        const T di = d[i], c = h * di;
        for (int j = 0; j < N; j++) {
            f[j] += w[j] * di;
            w[j] = s * w[j] + c * x[j];
        }
    }
}

// W = s W + h delta^T x
template <int K, int M, int N, class T>
inline void outer(T* NS_R W, const T* NS_R d, const T* NS_R x, T s, T h) {
#ifdef NS_BLAS
    if (K > 1) return gemm(YES, NO, M, N, K, h, d, M, x, N, s, W, N);
#endif
    if (s != 1)
        for (size_t p = 0; p < (size_t)M * N; p++) W[p] *= s;
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) {
            T* NS_R w = W + (size_t)i * N;
            const T c = h * d[(size_t)k * M + i];
            for (int j = 0; j < N; j++) w[j] += c * x[(size_t)k * N + j];
        }
}

// Collected changes of weights, for one pattern and weights that only `forward` reads: the weights
// are W + sum_s delta_s x_s^T until H changes are added in one pass. Every step reads W, but only
// every H-th writes it, which saves time where W is too large for the caches.
template <class T, int M, int N, int H> struct CollectedChanges {
    T delta[H][M], x[H][N];
    int count = 0;

    void learn(T* NS_R W, const T* NS_R d, const T* NS_R now, T h) {
        for (int i = 0; i < M; i++) delta[count][i] = h * d[i];
        std::memcpy(x[count], now, sizeof(x[0]));
        if (++count == H) fold(W);
    }
    void forward(const T* NS_R W, const T* NS_R now, T* NS_R a) const {
        ns::forward<1, M, N>(W, now, a);
        for (int s = 0; s < count; s++) {
            T dot = 0;
            for (int j = 0; j < N; j++) dot += x[s][j] * now[j];
            for (int i = 0; i < M; i++) a[i] += dot * delta[s][i];
        }
    }
    // Brings the weights up to date.
    void fold(T* NS_R W) {
        add_to(W);
        count = 0;
    }
    // Adds the changes to W, or to a copy of it, four in one pass.
    void add_to(T* NS_R W) {
        if (!count) return;
        for (int s = count; s % 4; s++) std::memset(delta[s], 0, sizeof(delta[0]));
        for (int from = 0; from < N; from += 2048) {  // 2048 columns of all x fit into the cache
            int i = 0;
            for (; i + 4 <= M; i += 4) add<4>(W, i, from, std::min(from + 2048, N));
            for (; i < M; i++) add<1>(W, i, from, std::min(from + 2048, N));
        }
    }
    // For the next process: the number of the changes, the changes, and W without them; then W is
    // brought up to date for readers.
    void save(T* memory, T* W) {
        *memory = count;
        if (!count) return;
        T* next = std::copy(delta[0], delta[0] + H * M, memory + 1);
        next = std::copy(x[0], x[0] + H * N, next);
        std::copy(W, W + (size_t)M * N, next);
        add_to(W);
    }
    void restore(const T* memory, T* W) {
        count = (int)*memory;
        if (!count) return;
        std::copy(memory + 1, memory + 1 + H * M, delta[0]);
        const T* next = memory + 1 + H * M;
        std::copy(next, next + H * N, x[0]);
        next += H * N;
        std::copy(next, next + (size_t)M * N, W);
    }

  private:
    template <int ROWS> void add(T* NS_R W, int i, int from, int to) const {
        for (int s = 0; s < count; s += 4)
            for (int j = from; j < to; j++) {
                T sum[ROWS];
                for (int r = 0; r < ROWS; r++) sum[r] = W[(size_t)(i + r) * N + j];
                for (int q = s; q < s + 4; q++)
                    for (int r = 0; r < ROWS; r++) sum[r] += delta[q][i + r] * x[q][j];
                for (int r = 0; r < ROWS; r++) W[(size_t)(i + r) * N + j] = sum[r];
            }
    }
};
// The collected changes of one projection, by its number.
template <int ID, class C> inline C& collected_changes() {
    static C one;
    return one;
}

// w = sign(w) max(|w| - size, 0): the proximal step of an L1 penalty
template <class T> inline void shrink(size_t n, T* NS_R w, T size) {
    if (size != 0)
        for (size_t p = 0; p < n; p++) {
            const T left = std::fabs(w[p]) - size;
            w[p] = left > 0 ? std::copysign(left, w[p]) : T(0);
        }
}

// w_g *= max(1 - size/|w_g|, 0) of every group g: the proximal step of a group penalty. The group
// of a postsynaptic unit is its row, that of a presynaptic unit its column.
template <int M, int N, class T> inline void shrink_rows(T* NS_R w, T size) {
    if (size != 0)
        for (int i = 0; i < M; i++, w += N) {
            T sum = 0;
            for (int j = 0; j < N; j++) sum += w[j] * w[j];
            const T norm = std::sqrt(sum), left = norm > size ? 1 - size / norm : T(0);
            for (int j = 0; j < N; j++) w[j] *= left;
        }
}
template <int M, int N, class T> inline void shrink_columns(T* NS_R w, T size) {
    if (size == 0) return;
    static T left[N];
    std::fill(left, left + N, T(0));
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) left[j] += w[(size_t)i * N + j] * w[(size_t)i * N + j];
    for (int j = 0; j < N; j++)
        left[j] = left[j] > size * size ? 1 - size / std::sqrt(left[j]) : T(0);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) w[(size_t)i * N + j] *= left[j];
}
template <int M, int N, class T>
inline void shrink_sparse_rows(T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R, T size) {
    if (size != 0)
        for (int i = 0; i < M; i++) {
            T sum = 0;
            for (int p = row[i]; p < row[i + 1]; p++) sum += w[p] * w[p];
            const T norm = std::sqrt(sum), left = norm > size ? 1 - size / norm : T(0);
            for (int p = row[i]; p < row[i + 1]; p++) w[p] *= left;
        }
}
template <int M, int N, class T>
inline void shrink_sparse_columns(T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col,
                                  T size) {
    if (size == 0) return;
    static T left[N];
    std::fill(left, left + N, T(0));
    for (int p = 0; p < row[M]; p++) left[col[p]] += w[p] * w[p];
    for (int j = 0; j < N; j++)
        left[j] = left[j] > size * size ? 1 - size / std::sqrt(left[j]) : T(0);
    for (int p = 0; p < row[M]; p++) w[p] *= left[col[p]];
}

// Dale's law: a weight that has left the sign of its presynaptic unit becomes 0.
template <int M, int N, class T> inline void keep_sign(T* NS_R w, const T* NS_R sign) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            const T value = w[(size_t)i * N + j];
            w[(size_t)i * N + j] = value * sign[j] < 0 ? T(0) : value;
        }
}
template <int M, class T>
inline void keep_sign_sparse(T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col,
                             const T* NS_R sign) {
    for (int p = 0; p < row[M]; p++) w[p] = w[p] * sign[col[p]] < 0 ? T(0) : w[p];
}

// Feedback weights with the signs of W: back = size sign(w)
template <class T> inline void signs(size_t n, const T* NS_R w, T size, T* NS_R back) {
    for (size_t p = 0; p < n; p++) back[p] = w[p] == 0 ? T(0) : std::copysign(size, w[p]);
}

// b = s b + h delta, summed over the batch
template <int K, int M, class T> inline void outer_bias(T* NS_R b, const T* NS_R d, T s, T h) {
    if (s != 1)
        for (int i = 0; i < M; i++) b[i] *= s;
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) b[i] += h * d[(size_t)k * M + i];
}

// The same products on compressed rows.
template <int K, int M, int N, class T>
inline void forward_rows(const T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col,
                         const T* NS_R x, T* NS_R a, int rows = K) {
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < M; i++) {
            T s = 0;
            for (int p = row[i]; p < row[i + 1]; p++) s += w[p] * x[(size_t)k * N + col[p]];
            a[(size_t)k * M + i] += s;
        }
}
template <int K, int M, int N, class T>
inline void backward_rows(const T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col,
                          const T* NS_R d, T* NS_R f, int rows = K) {
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < M; i++)
            for (int p = row[i]; p < row[i + 1]; p++)
                f[(size_t)k * N + col[p]] += w[p] * d[(size_t)k * M + i];
}
template <int K, int M, int N, class T>
inline void outer_rows(T* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col,
                       const T* NS_R d, const T* NS_R x, T s, T h) {
    for (int i = 0; i < M; i++)
        for (int p = row[i]; p < row[i + 1]; p++) {
            T sum = 0;
            for (int k = 0; k < K; k++)
                sum += d[(size_t)k * M + i] * x[(size_t)k * N + col[p]];
            w[p] = s * w[p] + h * sum;
        }
}

// Sum over the patterns of the values of each unit.
template <int K, int N, class T>
inline T* total_of_patterns(const T* NS_R values) {
    static T total[N];
    std::fill(total, total + N, T(0));
    for (int k = 0; k < K; k++)
        for (int j = 0; j < N; j++)
            total[j] += values[(size_t)k * N + j];
    return total;
}

// Values sent STEPS steps ago are received; the values sent now take their place in the line.
template <class T, int SIZE, int STEPS>
inline void travel(T* line, int32_t& at, const T* NS_R sent, T* NS_R received) {
    T* NS_R slot = line + (size_t)at * SIZE;
    std::memcpy(received, slot, SIZE * sizeof(T));
    std::memcpy(slot, sent, SIZE * sizeof(T));
    at = (at + 1) % STEPS;
}

// Entries in which G = x x^T of all pairs of patterns is stored. G is symmetric, so each strip of
// rows begins at its diagonal block; the columns before that are read from the strips above.
const int STRIP = 64;
constexpr size_t strip_size(int K, int from) {
    return (size_t)(K - from < STRIP ? K - from : STRIP) * (K - from);
}
constexpr size_t gram_size(int K, int from = 0) {
    return from >= K ? 0 : strip_size(K, from) + gram_size(K, from + STRIP);
}
template <int K, int N, class T> inline void gram(const T* NS_R x, T* NS_R G) {
#ifdef NS_BLAS
    for (int from = 0; from < K; from += STRIP, x += (size_t)STRIP * N) {
        const int rows = std::min(STRIP, K - from), wide = K - from;
        gemm(NO, YES, rows, wide, N, T(1), x, N, x, N, T(0), G, wide);
        G += (size_t)rows * wide;
    }
#else
    static_assert(K == 1, "OpenBLAS is linked for more");
    T s = 0;
    for (int j = 0; j < N; j++) s += x[j] * x[j];
    G[0] = s;
#endif
}

#ifdef NS_BLAS
// a += x W^T, by strips of patterns, as OpenBLAS copies the patterns of each product to memory
template <int K, int M, int N, class T>
inline void forward_by_strips(const T* NS_R W, const T* NS_R x, T* NS_R a) {
    for (int from = 0; from < K; from += STRIP, x += (size_t)STRIP * N, a += STRIP * M)
        gemm(NO, YES, std::min(STRIP, K - from), M, N, T(1), x, N, W, N, T(1), a, M);
}
#endif

// drive = s drive + h G delta: the change of W x by the step W = s W + h delta^T x, with constant x
template <int K, int M, class T>
inline void learn_drive(const T* NS_R G, const T* NS_R d, T s, T h, T* NS_R drive) {
#ifdef NS_BLAS
    for (int from = 0; from < K; from += STRIP, d += STRIP * M, drive += STRIP * M) {
        const int rows = std::min(STRIP, K - from), wide = K - from;
        const T keep = from ? T(1) : s;
        gemm(NO, NO, rows, M, wide, h, G, wide, d, M, keep, drive, M);
        if (wide > rows)
            gemm(YES, NO, wide - rows, M, rows, h, G + rows, wide, d, M, keep, drive + STRIP * M,
                 M);
        G += (size_t)rows * wide;
    }
#else
    blend<T>(M, s, h * G[0], d, drive);
#endif
}

// After `learn_drive` on a = drive + then, a holds s then: replaces it by the present biases b
template <int K, int M, class T>
inline void shift(const T* NS_R b, T s, T* NS_R then, T* NS_R a) {
    for (int i = 0; i < M; i++) then[i] = b[i] - s * then[i];
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) a[(size_t)k * M + i] += then[i];
    std::memcpy(then, b, M * sizeof(T));
}

// log sum_j exp(x_j) of each pattern, written to each of its units
template <int K, int M, class T>
inline void log_partition(const T* NS_R x, T* NS_R z, int rows = K) {
    for (int k = 0; k < rows; k++) {
        const T* NS_R xk = x + (size_t)k * M;
        T top = xk[0], sum = 0;
        for (int i = 1; i < M; i++) top = xk[i] > top ? xk[i] : top;
        for (int i = 0; i < M; i++) sum += std::exp(xk[i] - top);
        const T value = top + std::log(sum);
        for (int i = 0; i < M; i++) z[(size_t)k * M + i] = value;
    }
}

// sum_j y_j of each pattern, written to each of its units
template <int K, int M, class T>
inline void total(const T* NS_R y, T* NS_R z, int rows = K) {
    for (int k = 0; k < rows; k++) {
        T sum = 0;
        for (int i = 0; i < M; i++) sum += y[(size_t)k * M + i];
        for (int i = 0; i < M; i++) z[(size_t)k * M + i] = sum;
    }
}

// Whether any |v| reaches the bound or is not a number
template <class T> inline bool beyond(const T* NS_R v, size_t n, double bound) {
    int wrong = 0;
    for (size_t i = 0; i < n; i++) wrong |= !(std::fabs(v[i]) < bound);
    return wrong;
}

// max |v|
template <class T> inline double largest(const T* NS_R v, size_t n) {
    T top = 0;
    for (size_t i = 0; i < n; i++) top = std::fabs(v[i]) > top ? std::fabs(v[i]) : top;
    return top;
}

// max |v tau|
template <class T> inline double largest(const T* NS_R v, const T* NS_R tau, size_t n) {
    T top = 0;
    for (size_t i = 0; i < n; i++) {
        const T value = std::fabs(v[i]) * tau[i];
        top = value > top ? value : top;
    }
    return top;
}

}  // namespace ns
#undef NS_R
#endif
