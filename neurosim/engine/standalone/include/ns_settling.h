// Patterns that settle one by one: those that have settled leave the step.
//
// The rows of active patterns stay in front; products and updates take only these. A pattern that
// settles changes places with the last active one. Every array with a row for each of the K patterns
// follows by `exchange`. The NumPy backend does the same in engine/runtime/settling.py.
#ifndef NS_SETTLING_H
#define NS_SETTLING_H
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>
namespace ns {
const int64_t UNSETTLED = -1;

template <int K> class Settling {
    int64_t pattern_at[K], row_of[K];             // the pattern in each row, and the inverse
    bool moves[K];                                // whether a pattern moves, by row
    std::vector<std::pair<int64_t, int64_t>> swaps;  // rows that change places, in order

    void swap(int64_t one, int64_t two) {
        swaps.emplace_back(one, two);
        std::swap(pattern_at[one], pattern_at[two]);
        row_of[pattern_at[one]] = one;
        row_of[pattern_at[two]] = two;
    }
    // Brings the rows that move to the front; returns their number.
    int64_t order(int64_t active) {
        int64_t left = std::count(moves, moves + active, true), last = active;
        for (int64_t k = 0; k < left; k++)
            if (!moves[k]) {
                while (!moves[--last]) {}
                swap(k, last);
            }
        return left;
    }

  public:
    // At the start of a segment: leaves out the patterns that have settled before, step by step. So
    // the rows are in the order that an undivided run has, and products round alike.
    int64_t resume(const int64_t* settled_at) {
        std::set<int64_t> steps(settled_at, settled_at + K);
        steps.erase(UNSETTLED);
        for (int64_t k = 0; k < K; k++) pattern_at[k] = row_of[k] = k;
        swaps.clear();
        int64_t active = K;
        for (const int64_t step : steps) {
            for (int64_t k = 0; k < active; k++) moves[k] = settled_at[pattern_at[k]] != step;
            active = order(active);
        }
        return active;
    }
    // Before a check; then `look` at each state, then `settle`.
    void begin() { std::fill(moves, moves + K, false); }
    // Finds the patterns where |rate tau| of one of N units is not below a limit.
    template <int N, class T> void look(const T* rate, T tau, double limit, int64_t active) {
        for (int64_t k = 0; k < active; k++) {
            bool rests = true;
            for (int i = 0; i < N; i++) rests &= std::fabs(rate[k * N + i] * tau) < limit;
            moves[k] |= !rests;
        }
    }
    // Leaves out the patterns that rest; returns how many are left.
    int64_t settle(int64_t step, int64_t active, int64_t* settled_at) {
        for (int64_t k = 0; k < active; k++)
            if (!moves[k]) settled_at[pattern_at[k]] = step;
        swaps.clear();
        return order(active);
    }
    // Brings all rows back to their places.
    void restore() {
        swaps.clear();
        for (int64_t k = 0; k < K; k++)
            while (pattern_at[k] != k) swap(k, pattern_at[k]);
    }
    // Exchanges the rows of an array with N numbers for each pattern.
    template <int N, class T> void exchange(T* values) const {
        for (const auto& rows : swaps)
            std::swap_ranges(values + rows.first * N, values + (rows.first + 1) * N,
                             values + rows.second * N);
    }
    const int64_t* rows() const { return row_of; }
};
template <int K> inline Settling<K>& settling() {
    static Settling<K> one;
    return one;
}

}  // namespace ns
#endif
