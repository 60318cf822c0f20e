// Parameter points simulated side by side, P of them with N units each: see engine/points.py.
#ifndef NS_POINTS_H
#define NS_POINTS_H
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include "ns_kernels.h"
namespace ns {
const int64_t MOVING = 0, SETTLED = -1;

// max |tau dz/dt| of each point, so far
template <int P, size_t N, class T> inline void residuals(const T* rate, const T* tau, double* residuals) {
    for (size_t p = 0; p < P; p++) residuals[p] = std::max(residuals[p], largest(rate + p * N, N) * tau[p * N]);
}
template <int P>
inline bool settle(const double* residuals, double below, int64_t step, int64_t* ending, int64_t* ended_at) {
    bool news = false;
    for (size_t p = 0; p < P; p++)
        if (ending[p] == MOVING && residuals[p] < below) {
            ending[p] = SETTLED;
            ended_at[p] = step;
            news = true;
        }
    return news;
}
// points with a value beyond the bound, or that is not a number, in a population with this number
template <int P, size_t N, class T>
inline bool leave(const T* values, double bound, int64_t number, int64_t step, int64_t* ending, int64_t* ended_at) {
    bool news = false;
    for (size_t p = 0; p < P; p++)
        if (ending[p] == MOVING && beyond(values + p * N, N, bound)) {
            ending[p] = number;
            ended_at[p] = step;
            news = true;
        }
    return news;
}
template <int P, size_t N, class T> inline void rest(const int64_t* ending, T* gain) {
    for (size_t p = 0; p < P; p++)
        if (ending[p] != MOVING) std::fill(gain + p * N, gain + (p + 1) * N, T(0));
}
template <int P> inline bool all_ended(const int64_t* ending) {
    return std::find(ending, ending + P, MOVING) == ending + P;
}

}  // namespace ns
#endif
