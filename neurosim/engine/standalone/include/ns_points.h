// Batch of parameter points: P points of N entries each, which end separately.
//
// `ending` of a point is MOVING, SETTLED, or the number (from 1) of the population that has left
// its bound; `ended_at` is the step at which it ended. Gains of 0 hold the state of a point that
// has ended. The NumPy backend does the same in engine/runtime/points.py.
#ifndef NS_POINTS_H
#define NS_POINTS_H
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include "ns_kernels.h"
namespace ns {
const int64_t MOVING = 0, SETTLED = -1;

// Updates max |tau dz/dt| of each point by one more variable.
template <int P, size_t N, class T>
inline void residuals(const T* rate, const T* tau, double* residuals) {
    for (size_t p = 0; p < P; p++)
        residuals[p] = std::max(residuals[p], largest(rate + p * N, N) * tau[p * N]);
}

// Ends the points whose residual is below a limit; returns whether there were any.
template <int P>
inline bool settle(const double* residuals, double below, int64_t step, int64_t* ending,
                   int64_t* ended_at) {
    bool some = false;
    for (size_t p = 0; p < P; p++)
        if (ending[p] == MOVING && residuals[p] < below) {
            ending[p] = SETTLED;
            ended_at[p] = step;
            some = true;
        }
    return some;
}

// Ends the points where a value of population `number` is beyond the bound or is not a number;
// returns whether there were any.
template <int P, size_t N, class T>
inline bool leave(const T* values, double bound, int64_t number, int64_t step, int64_t* ending,
                  int64_t* ended_at) {
    bool some = false;
    for (size_t p = 0; p < P; p++)
        if (ending[p] == MOVING && beyond(values + p * N, N, bound)) {
            ending[p] = number;
            ended_at[p] = step;
            some = true;
        }
    return some;
}

// Sets a gain of the points that have ended to 0, which holds their state.
template <int P, size_t N, class T> inline void hold(const int64_t* ending, T* gain) {
    for (size_t p = 0; p < P; p++)
        if (ending[p] != MOVING) std::fill(gain + p * N, gain + (p + 1) * N, T(0));
}

template <int P> inline bool all_ended(const int64_t* ending) {
    return std::find(ending, ending + P, MOVING) == ending + P;
}

}  // namespace ns
#endif
