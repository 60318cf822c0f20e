// Anderson acceleration of a step z -> g(z), for each pattern on its own (Walker & Ni, SIAM J.
// Numer. Anal. 49, 1715, 2011). With f = g - z, the last DEPTH changes of f and g extrapolate to the
// z at which f would vanish: z = g - sum_i c_i dg_i, where c minimises |f - sum_i c_i df_i|.
#ifndef NS_ANDERSON_H
#define NS_ANDERSON_H
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>
namespace ns {

// K patterns, N states of each
template <class T, int K, int N, int DEPTH> class Anderson {
    std::vector<T> z, g, f_before, g_before, df, dg;
    std::vector<double> gram, best;
    int taken = 0;  // steps

    T* change(std::vector<T>& of, int slot, int k) {
        return of.data() + ((size_t)slot * K + k) * N;
    }
    static double dot(const T* a, const T* b) {
        T sum = 0;
        for (int i = 0; i < N; i++) sum += a[i] * b[i];
        return sum;
    }
    // Forgets the changes of a pattern.
    void forget(int k) {
        std::fill_n(gram.begin() + (size_t)k * DEPTH * DEPTH, DEPTH * DEPTH, 0.0);
        for (int slot = 0; slot < DEPTH; slot++) {
            std::fill_n(change(df, slot, k), N, T(0));
            std::fill_n(change(dg, slot, k), N, T(0));
        }
    }
    // c from the Gram matrix of df, in units of their lengths; a change of length 0 has no share
    void solve(const double* G, const double* right, int used, double* c) const {
        const double floor = sizeof(T) == 8 ? 1e-12 : 1e-5;
        double L[DEPTH][DEPTH], scale[DEPTH], y[DEPTH];
        for (int i = 0; i < used; i++)
            scale[i] = G[i * DEPTH + i] > 0 ? 1 / std::sqrt(G[i * DEPTH + i]) : 0;
        for (int i = 0; i < used; i++) {
            y[i] = right[i] * scale[i];
            for (int j = 0; j <= i; j++) {
                double sum = G[i * DEPTH + j] * scale[i] * scale[j];
                if (i == j) sum += floor;
                for (int q = 0; q < j; q++) sum -= L[i][q] * L[j][q];
                L[i][j] = i == j ? std::sqrt(std::max(sum, floor)) : sum / L[j][j];
            }
            for (int q = 0; q < i; q++) y[i] -= L[i][q] * y[q];
            y[i] /= L[i][i];
        }
        for (int i = used - 1; i >= 0; i--) {
            for (int q = i + 1; q < used; q++) y[i] -= L[q][i] * y[q];
            y[i] /= L[i][i];
            c[i] = y[i] * scale[i];
        }
    }

  public:
    Anderson()
        : z((size_t)K * N), g((size_t)K * N), f_before((size_t)K * N), g_before((size_t)K * N),
          df((size_t)DEPTH * K * N), dg((size_t)DEPTH * K * N), gram((size_t)K * DEPTH * DEPTH),
          best(K, INFINITY) {}

    // Copies one state variable, (K, n), from its place `from` in z on: before a step, after it.
    void before(const T* values, int n, int from) { gather(values, n, from, z); }
    void after(const T* values, int n, int from) { gather(values, n, from, g); }
    void write(T* values, int n, int from) const {
        for (int k = 0; k < K; k++)
            std::copy_n(z.begin() + (size_t)k * N + from, n, values + (size_t)k * n);
    }
    // Puts the extrapolated state into z.
    void extrapolate(double restart) {
        const int used = std::min(taken, DEPTH), slot = (taken + DEPTH - 1) % DEPTH;
        for (int k = 0; k < K; k++) {
            T *zk = z.data() + (size_t)k * N, *gk = g.data() + (size_t)k * N;
            T *fb = f_before.data() + (size_t)k * N, *gb = g_before.data() + (size_t)k * N;
            T *dfk = change(df, slot, k), *dgk = change(dg, slot, k);
            for (int i = 0; i < N; i++) {
                const T f = gk[i] - zk[i];
                if (used) {
                    dfk[i] = f - fb[i];
                    dgk[i] = gk[i] - gb[i];
                }
                fb[i] = f;
                gb[i] = gk[i];
                zk[i] = gk[i];
            }
            const double size = dot(fb, fb);
            if (size > restart * restart * best[k]) {
                forget(k);
                best[k] = size;
            }
            best[k] = std::min(best[k], size);
            double* G = gram.data() + (size_t)k * DEPTH * DEPTH;
            double right[DEPTH], c[DEPTH];
            for (int i = 0; i < used; i++) {
                G[slot * DEPTH + i] = G[i * DEPTH + slot] = dot(dfk, change(df, i, k));
                right[i] = dot(change(df, i, k), fb);
            }
            solve(G, right, used, c);
            for (int s = 0; s < used; s++) {
                const T* d = change(dg, s, k);
                const T share = c[s];
                for (int i = 0; i < N; i++) zk[i] -= share * d[i];
            }
        }
        taken++;
    }

  private:
    static void gather(const T* values, int n, int from, std::vector<T>& to) {
        for (int k = 0; k < K; k++)
            std::copy_n(values + (size_t)k * n, n, to.begin() + (size_t)k * N + from);
    }
};
template <class T, int K, int N, int DEPTH> inline Anderson<T, K, N, DEPTH>& anderson() {
    static Anderson<T, K, N, DEPTH> one;
    return one;
}

}  // namespace ns
#endif
