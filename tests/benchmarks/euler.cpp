// Yardstick: explicit Euler steps of x, lam and w of an n0-n1-n2 net (tanh, linear output, mse), rho = kappa = 1,
// gamma = 0, for K patterns. `hand` is written as a C++ programmer would; `blas` calls OpenBLAS for the products.
// Usage: euler hand|blas n0 n1 n2 K steps h rate FILE
// FILE has x0 (K n0), y (K n2), then W1, b1, W2, b2, x1, lam1, x2, lam2, which are replaced. Seconds are printed.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
extern "C" void scipy_cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double* a, int lda,
                                  const double* b, int ldb, double beta, double* c, int ldc);
#define R __restrict
typedef std::vector<double> Array;
enum { ROWS = 101, NO = 111, YES = 112 };
const double rho = 1, kappa = 1, gam = 0;

struct Net {
    int n0, n1, n2, K;
    double h, rate;
    Array x0, y, W1, b1, W2, b2, x1, l1, x2, l2, a1, a2, d1, d2, f1;
    Net(int n0, int n1, int n2, int K, double h, double rate)
        : n0(n0), n1(n1), n2(n2), K(K), h(h), rate(rate), x0(K * n0), y(K * n2), W1(n1 * n0), b1(n1), W2(n2 * n1),
          b2(n2), x1(K * n1), l1(K * n1), x2(K * n2), l2(K * n2), a1(K * n1), a2(K * n2), d1(K * n1), d2(K * n2),
          f1(K * n1) {}
    std::vector<Array*> stored() { return {&x0, &y, &W1, &b1, &W2, &b2, &x1, &l1, &x2, &l2}; }
};

// Put sigma into a and delta into d.
static void messages(int n, bool linear, double* R a, const double* R x, const double* R l, double* R d) {
    if (linear)
        for (int i = 0; i < n; i++) d[i] = l[i] + rho * (x[i] - a[i]);
    else
        for (int i = 0; i < n; i++) {
            const double s = tanh(a[i]);
            a[i] = s;
            d[i] = (1 - s * s) * (l[i] + rho * (x[i] - s));
        }
}

static void flow(Net& N) {
    double *R x1 = N.x1.data(), *R s1 = N.a1.data(), *R l1 = N.l1.data(), *R f = N.f1.data();
    double *R x2 = N.x2.data(), *R s2 = N.a2.data(), *R l2 = N.l2.data(), *R y = N.y.data();
    const double h = N.h;
    for (int i = 0; i < N.K * N.n1; i++) {
        const double g = x1[i] - s1[i], L = l1[i] + rho * g - f[i];
        x1[i] += h * (-kappa * L - gam * g);
        l1[i] += h * (kappa * g - gam * L);
    }
    for (int i = 0; i < N.K * N.n2; i++) {
        const double g = x2[i] - s2[i], L = x2[i] - y[i] + l2[i] + rho * g;
        x2[i] += h * (-kappa * L - gam * g);
        l2[i] += h * (kappa * g - gam * L);
    }
}

__attribute__((noinline)) void hand(Net& N) {
    const int n0 = N.n0, n1 = N.n1, n2 = N.n2, K = N.K;
    double *R W1 = N.W1.data(), *R W2 = N.W2.data(), *R b1 = N.b1.data(), *R b2 = N.b2.data();
    for (int k = 0; k < K; k++) {
        const double *R x0 = &N.x0[k * n0], *R x1 = &N.x1[k * n1], *R x2 = &N.x2[k * n2];
        double *R a1 = &N.a1[k * n1], *R a2 = &N.a2[k * n2], *R d1 = &N.d1[k * n1], *R d2 = &N.d2[k * n2];
        double* R f = &N.f1[k * n1];
        for (int i = 0; i < n1; i++) {
            double s = b1[i];
            for (int j = 0; j < n0; j++) s += W1[i * n0 + j] * x0[j];
            a1[i] = s;
        }
        for (int i = 0; i < n2; i++) {
            double s = b2[i];
            for (int j = 0; j < n1; j++) s += W2[i * n1 + j] * x1[j];
            a2[i] = s;
        }
        messages(n1, false, a1, x1, &N.l1[k * n1], d1);
        messages(n2, true, a2, x2, &N.l2[k * n2], d2);
        for (int j = 0; j < n1; j++) f[j] = 0;
        for (int i = 0; i < n2; i++)
            for (int j = 0; j < n1; j++) f[j] += W2[i * n1 + j] * d2[i];
    }
    for (int k = 0; k < K; k++) {
        const double *R x0 = &N.x0[k * n0], *R x1 = &N.x1[k * n1];
        for (int i = 0; i < n1; i++) {
            const double c = N.rate / K * N.d1[k * n1 + i];
            b1[i] += c;
            for (int j = 0; j < n0; j++) W1[i * n0 + j] += c * x0[j];
        }
        for (int i = 0; i < n2; i++) {
            const double c = N.rate / K * N.d2[k * n2 + i];
            b2[i] += c;
            for (int j = 0; j < n1; j++) W2[i * n1 + j] += c * x1[j];
        }
    }
    flow(N);
}

// C (m, n) = scale * A B + keep * C
static void product(int m, int n, int k, double scale, int ta, const Array& A, int tb, const Array& B, double keep,
                    Array& C) {
    scipy_cblas_dgemm(ROWS, ta, tb, m, n, k, scale, A.data(), ta == NO ? k : m, B.data(), tb == NO ? n : k, keep,
                      C.data(), n);
}

__attribute__((noinline)) void blas(Net& N) {
    const int n0 = N.n0, n1 = N.n1, n2 = N.n2, K = N.K;
    for (int k = 0; k < K; k++) {
        for (int i = 0; i < n1; i++) N.a1[k * n1 + i] = N.b1[i];
        for (int i = 0; i < n2; i++) N.a2[k * n2 + i] = N.b2[i];
    }
    product(K, n1, n0, 1, NO, N.x0, YES, N.W1, 1, N.a1);
    product(K, n2, n1, 1, NO, N.x1, YES, N.W2, 1, N.a2);
    messages(K * n1, false, N.a1.data(), N.x1.data(), N.l1.data(), N.d1.data());
    messages(K * n2, true, N.a2.data(), N.x2.data(), N.l2.data(), N.d2.data());
    product(K, n1, n2, 1, NO, N.d2, NO, N.W2, 0, N.f1);
    product(n1, n0, K, N.rate / K, YES, N.d1, NO, N.x0, 1, N.W1);
    product(n2, n1, K, N.rate / K, YES, N.d2, NO, N.x1, 1, N.W2);
    for (int k = 0; k < K; k++) {
        for (int i = 0; i < n1; i++) N.b1[i] += N.rate / K * N.d1[k * n1 + i];
        for (int i = 0; i < n2; i++) N.b2[i] += N.rate / K * N.d2[k * n2 + i];
    }
    flow(N);
}

int main(int, char** v) {
    Net N(atoi(v[2]), atoi(v[3]), atoi(v[4]), atoi(v[5]), atof(v[7]), atof(v[8]));
    void (*step)(Net&) = strcmp(v[1], "hand") ? blas : hand;
    FILE* file = fopen(v[9], "rb");
    for (Array* a : N.stored())
        if (fread(a->data(), sizeof(double), a->size(), file) != a->size()) return 1;
    fclose(file);
    const auto begin = std::chrono::steady_clock::now();
    for (int s = atoi(v[6]); s > 0; s--) step(N);
    printf("%.9f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    file = fopen(v[9], "wb");
    for (Array* a : N.stored()) fwrite(a->data(), sizeof(double), a->size(), file);
    return fclose(file);
}
