// Noise: the random numbers of a step, as a function of the seed and of the number of the step.
//
// The generator is Philox4x64-10 (Salmon et al., SC 2011): word i of a step depends on the key and a
// counter alone. `runtime/noise.py` makes the same numbers with NumPy; `engine/draws.py` has their
// layout: PAIRS words give two normal numbers each (Box & Muller 1958), UNIFORMS words one uniform
// number each.
#ifndef NS_NOISE_H
#define NS_NOISE_H
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
namespace ns {

const double OF_32_BITS = 1.0 / (1ULL << 32), OF_53_BITS = 1.0 / (1ULL << 53);

struct Wide { uint64_t high, low; };
inline Wide product(uint64_t a, uint64_t b) {
    const unsigned __int128 ab = (unsigned __int128)a * b;
    return {(uint64_t)(ab >> 64), (uint64_t)ab};
}

// the four words of one block
inline void philox(uint64_t key, uint64_t other_key, uint64_t counter, uint64_t* words) {
    uint64_t c0 = counter, c1 = 0, c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        const Wide one = product(0xD2E7470EE14C6C93ULL, c0);
        const Wide two = product(0xCA5A826395121157ULL, c2);
        c0 = two.high ^ c1 ^ key;
        c1 = two.low;
        c2 = one.high ^ c3 ^ other_key;
        c3 = one.low;
        key += 0x9E3779B97F4A7C15ULL;
        other_key += 0xBB67AE8584CAA73BULL;
    }
    words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// PAIRS words as normal numbers i and i + PAIRS; sine and cosine in loops of their own, as compilers
// do not vectorise the two together
template <size_t PAIRS> inline void normals(const uint64_t* words, double* numbers) {
    const size_t PIECE = 256;
    const double turn = 6.283185307179586476925286766559 * OF_32_BITS;
    alignas(64) double radius[PIECE], angle[PIECE];
    for (size_t first = 0; first < PAIRS; first += PIECE) {
        const size_t n = std::min(PIECE, PAIRS - first);
        for (size_t i = 0; i < n; i++) {
            const double share = ((int64_t)(words[first + i] >> 32) + 0.5) * OF_32_BITS;
            radius[i] = std::sqrt(-2 * std::log(share));
        }
        for (size_t i = 0; i < n; i++)
            angle[i] = (int64_t)(words[first + i] & 0xFFFFFFFFULL) * turn;
        for (size_t i = 0; i < n; i++) numbers[first + i] = radius[i] * std::cos(angle[i]);
        for (size_t i = 0; i < n; i++) numbers[PAIRS + first + i] = radius[i] * std::sin(angle[i]);
    }
}

// All numbers of one step: 2 PAIRS normal ones, then the uniform ones.
template <size_t PAIRS, size_t UNIFORMS>
inline void draw(uint64_t key, uint64_t step, uint64_t* words, double* numbers) {
    const uint64_t blocks = (PAIRS + UNIFORMS + 3) / 4;
    for (uint64_t b = 0; b < blocks; b++)  // NumPy's generator counts up before it makes a block
        philox(key, blocks, step * blocks + b + 1, words + 4 * b);
    normals<PAIRS>(words, numbers);
    for (size_t i = 0; i < UNIFORMS; i++)
        numbers[2 * PAIRS + i] = (double)(int64_t)(words[PAIRS + i] >> 11) * OF_53_BITS;
}

}  // namespace ns
#endif
