// The products of a projection. Weights are W (M postsynaptic, N presynaptic), row by row, stored once;
// x is (K patterns, N), a and delta are (K, M), feedback is (K, N). K = 1: loops with sizes known to the
// compiler; more: OpenBLAS where it is linked, loops elsewhere. Sparse weights: compressed rows.
#ifndef NS_KERNELS_H
#define NS_KERNELS_H
#include <cmath>
#include <cstddef>
#include <cstdint>
#ifdef NS_BLAS
extern "C" void scipy_cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha,
                                  const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc);
#endif
#define NS_R __restrict
namespace ns {

// a = b for every pattern
template <int K, int M> inline void start(const double* NS_R b, double* NS_R a) {
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) a[(size_t)k * M + i] = b[i];
}

// a += x W^T
template <int K, int M, int N> inline void forward(const double* NS_R W, const double* NS_R x, double* NS_R a) {
#ifdef NS_BLAS
    if (K > 1) {
        scipy_cblas_dgemm(101, 111, 112, K, M, N, 1.0, x, N, W, N, 1.0, a, M);
        return;
    }
#endif
    for (int k = 0; k < K; k++) {
        const double* NS_R xk = x + (size_t)k * N;
        double* NS_R ak = a + (size_t)k * M;
        int i = 0;
        for (; i + 4 <= M; i += 4) {  // four rows at once: x is read once for all
            const double *NS_R w0 = W + (size_t)i * N, *NS_R w1 = w0 + N, *NS_R w2 = w1 + N, *NS_R w3 = w2 + N;
            double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
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
            double s = 0;
            for (int j = 0; j < N; j++) s += W[(size_t)i * N + j] * xk[j];
            ak[i] += s;
        }
    }
}

// feedback += delta W
template <int K, int M, int N> inline void backward(const double* NS_R W, const double* NS_R d, double* NS_R f) {
#ifdef NS_BLAS
    if (K > 1) {
        scipy_cblas_dgemm(101, 111, 111, K, N, M, 1.0, d, M, W, N, 1.0, f, N);
        return;
    }
#endif
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) {
            const double* NS_R w = W + (size_t)i * N;
            const double di = d[(size_t)k * M + i];
            for (int j = 0; j < N; j++) f[(size_t)k * N + j] += w[j] * di;
        }
}

// W += h (delta^T x - price_l2 W), where h already holds the mean over the batch; shrink = h l1, proximal
template <int K, int M, int N>
inline void learn(double* NS_R W, const double* NS_R d, const double* NS_R x, double h, double decay, double shrink) {
    if (decay != 0)
        for (size_t s = 0; s < (size_t)M * N; s++) W[s] *= 1 - decay;
#ifdef NS_BLAS
    if (K > 1) {
        scipy_cblas_dgemm(101, 112, 111, M, N, K, h, d, M, x, N, 1.0, W, N);
    } else
#endif
        for (int k = 0; k < K; k++)
            for (int i = 0; i < M; i++) {
                double* NS_R w = W + (size_t)i * N;
                const double c = h * d[(size_t)k * M + i];
                for (int j = 0; j < N; j++) w[j] += c * x[(size_t)k * N + j];
            }
    if (shrink != 0)
        for (size_t s = 0; s < (size_t)M * N; s++) {
            const double size = std::fabs(W[s]) - shrink;
            W[s] = size > 0 ? std::copysign(size, W[s]) : 0.0;
        }
}

// b += h delta, summed over the batch
template <int K, int M> inline void learn_bias(double* NS_R b, const double* NS_R d, double h) {
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) b[i] += h * d[(size_t)k * M + i];
}

// the same three products on compressed rows
template <int K, int M, int N>
inline void forward_rows(const double* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col, const double* NS_R x,
                         double* NS_R a) {
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++) {
            double s = 0;
            for (int p = row[i]; p < row[i + 1]; p++) s += w[p] * x[(size_t)k * N + col[p]];
            a[(size_t)k * M + i] += s;
        }
}
template <int K, int M, int N>
inline void backward_rows(const double* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col, const double* NS_R d,
                          double* NS_R f) {
    for (int k = 0; k < K; k++)
        for (int i = 0; i < M; i++)
            for (int p = row[i]; p < row[i + 1]; p++) f[(size_t)k * N + col[p]] += w[p] * d[(size_t)k * M + i];
}
template <int K, int M, int N>
inline void learn_rows(double* NS_R w, const int32_t* NS_R row, const int32_t* NS_R col, const double* NS_R d,
                       const double* NS_R x, double h, double decay, double shrink) {
    for (int i = 0; i < M; i++)
        for (int p = row[i]; p < row[i + 1]; p++) {
            double s = 0;
            for (int k = 0; k < K; k++) s += d[(size_t)k * M + i] * x[(size_t)k * N + col[p]];
            const double moved = w[p] * (1 - decay) + h * s, size = std::fabs(moved) - shrink;
            w[p] = shrink == 0 ? moved : size > 0 ? std::copysign(size, moved) : 0.0;
        }
}

// log sum_j exp(x_j) of each pattern, given to each of its units
template <int K, int M> inline void log_partition(const double* NS_R x, double* NS_R z) {
    for (int k = 0; k < K; k++) {
        const double* NS_R xk = x + (size_t)k * M;
        double top = xk[0], sum = 0;
        for (int i = 1; i < M; i++) top = xk[i] > top ? xk[i] : top;
        for (int i = 0; i < M; i++) sum += std::exp(xk[i] - top);
        const double value = top + std::log(sum);
        for (int i = 0; i < M; i++) z[(size_t)k * M + i] = value;
    }
}

// some |v| that is not below the bound (or not a number)
inline bool beyond(const double* NS_R v, size_t n, double bound) {
    int wrong = 0;
    for (size_t i = 0; i < n; i++) wrong |= !(std::fabs(v[i]) < bound);
    return wrong;
}

}  // namespace ns
#undef NS_R
#endif
