// Clocks: a cheap replacement for the clock that Brian2 reads, and the clock that measures a run.
//
// Brian2 2.9 reads the processor time at every step, a system call of 0.5 us; reading the coarse
// clock takes negligible time. Included before everything else, so that its macro applies to all of
// Brian2's sources.
#ifndef NS_CLOCK_H
#define NS_CLOCK_H
#include <ctime>
#include <time.h>
#ifdef CLOCK_MONOTONIC_COARSE
static inline std::clock_t ns_clock_() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}
namespace std { using ::ns_clock_; }
#define clock() ns_clock_()
#endif
#include <chrono>
namespace ns {
inline double seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}
}  // namespace ns
#endif
