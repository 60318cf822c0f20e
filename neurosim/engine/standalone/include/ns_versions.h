// Version numbers of values: a value is computed again only where the sum of the versions that it
// follows from has grown. Versions only grow, so equal sums mean equal versions.
#ifndef NS_VERSIONS_H
#define NS_VERSIONS_H
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
namespace ns {

typedef uint64_t Version;

// The values of one population, and what they were last computed from.
struct Versions {
    Version a = 1, delta = 1, feedback = 1, x = 1, lam = 1;
    Version a_of = 0, delta_of = 0, feedback_of = 0, x_of = 0, lam_of = 0;
};
template <int POPULATION> inline Versions& versions() {
    static Versions one;
    return one;
}
// Versions of data and of all weights and biases.
inline Version& data_version() {
    static Version one = 1;
    return one;
}
inline Version& weights_version() {
    static Version one = 1;
    return one;
}
// Whether sources have changed since the last call.
inline bool differ(Version& of, Version sources) {
    const bool changed = of != sources;
    of = sources;
    return changed;
}
// The same for a value that is then computed, so that it has a new version.
inline bool renew(Version& of, Version sources, Version& own) {
    const bool changed = differ(of, sources);
    own += changed;
    return changed;
}

// The place of this step in its presentation, and what the presentation may leave out (see
// liveness.py): values before their first step; states after the last plastic step.
struct Presentation {
    int64_t phase = 0;
    bool skips_before = false, skips_after = false;

    bool sends(int64_t from) const { return !skips_before || phase >= from; }
    bool moves(int64_t from, int64_t until) const {
        return sends(from) && !(skips_after && phase >= until);
    }
};
inline Presentation& presentation() {
    static Presentation one;
    return one;
}

// Whether a step has changed an array, bit for bit. The array is copied only once one entry, which
// the last comparison found to move, stands still; so it costs nothing while all of them move.
template <class T, size_t SIZE> class Watch {
    std::unique_ptr<T[]> copy;
    size_t entry = 0;
    T before = 0;
    bool is_copied = false;

  public:
    void begin(const T* values) { before = values[entry]; }
    bool changed(const T* values) {
        if (std::memcmp(&before, values + entry, sizeof(T))) return !(is_copied = false);
        if (!copy) copy.reset(new T[SIZE]);
        bool differs = true;
        if (is_copied) {
            size_t i = 0;
            while (i < SIZE && !std::memcmp(&copy[i], values + i, sizeof(T))) i++;
            differs = i < SIZE;
            if (differs) entry = i;
        }
        if (differs) std::memcpy(copy.get(), values, SIZE * sizeof(T));
        is_copied = true;
        return differs;
    }
};
template <int ID, class T, size_t SIZE> inline Watch<T, SIZE>& watch() {
    static Watch<T, SIZE> one;
    return one;
}

}  // namespace ns
#endif
