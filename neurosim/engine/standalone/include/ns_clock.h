// Clocks and the end of a program: a cheap replacement for the clock that Brian2 reads, the clock
// that measures a run, the last ticks, signals, and the end of the process that started the program.
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
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#else
#include <thread>
#endif
namespace ns {
// Whether the program was told to end; the run then ends after its present step.
inline volatile std::sig_atomic_t& interrupted() {
    static volatile std::sig_atomic_t pressed = 0;
    return pressed;
}
inline void interrupt(int) { interrupted() = 1; }

// Lets Ctrl-C, SIGTERM and SIGHUP, which may reach a whole group of processes, end the run in
// order. Where the process that started this one ignores one of the last two, so does this one.
inline void end_in_order() {
    std::signal(SIGINT, interrupt);
    if (std::signal(SIGTERM, interrupt) == SIG_IGN) std::signal(SIGTERM, SIG_IGN);
    if (std::signal(SIGHUP, interrupt) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

// Ends this process with the one that started it, however that ends.
inline void end_with_parent() {
    const char* text = std::getenv("NEUROSIM_PARENT");
    if (!text) return;
    const long parent = std::atol(text);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(3);  // it has ended before
#else
    std::thread([parent] {
        while (getppid() == parent) usleep(200000);
        std::_Exit(3);
    }).detach();
#endif
}

// Lets the clocks of a network tick as long as their time is before `end`. User-supplied objects
// may have clocks of their own; one within 1e-4 of its step counts as being at `end`, as in Brian2's
// runtime mode.
//
// A run that goes on begins at their first tick that is not before its start.
inline double first_tick(double start, double step) {
    const double ticks = start / step, nearest = std::round(ticks);
    return (std::fabs(ticks - nearest) <= 1e-4 ? nearest : std::ceil(ticks)) * step;
}
template <class Network> void tick_until(Network& network, double end) {
    for (auto& object : network.objects) {
        auto& clock = *object.first;
        const double ticks = end / *clock.dt, nearest = std::round(ticks);
        const bool at_end = std::fabs(ticks - nearest) <= 1e-4;
        clock.set_interval(*clock.t, (at_end ? nearest : std::ceil(ticks)) * *clock.dt);
    }
}
inline double seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}
}  // namespace ns
#endif
