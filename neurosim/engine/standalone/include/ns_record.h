// Recording: chosen values of a few arrays, sample after sample, into files of `rows` samples each.
//
// A file holds raw numbers, as a chunk of an uncompressed zarr array does. The last file is padded
// with NaN.
#ifndef NS_RECORD_H
#define NS_RECORD_H
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>
namespace ns {

template <class T> class Recorder {
    struct Part {
        int64_t array, count;
        std::vector<int64_t> source, position;
    };
    std::string folder, ending;
    int64_t size, rows, chunk, filled;
    std::vector<Part> parts;
    std::vector<T> data;
    // Ends the program with the system's reason in its status, unless an operation on a file
    // succeeded. Where a disk is full, a message would be lost.
    static void require(bool good, const std::string& action) {
        if (good) return;
        const int reason = errno > 0 && errno < 128 ? errno : EIO;
        std::fprintf(stderr, "cannot %s\n", action.c_str());
        std::exit(64 + reason);
    }

  public:
    // data/record_<number>.layout: size of a sample, samples per file, dimensions of a sample,
    // number of parts; then for each part the number of its array, the number of its entries, their
    // places in the array, and their places in the sample
    explicit Recorder(int number)
        : folder("data/record_" + std::to_string(number)), chunk(-1), filled(0) {
        const std::string path = folder + ".layout";
        std::FILE* file = std::fopen(path.c_str(), "rb");
        require(file, "open " + path);
        const auto next = [&]() {
            int64_t v;
            require(std::fread(&v, 8, 1, file) == 1, "read " + path);
            return v;
        };
        size = next();
        rows = next();
        for (int64_t dimensions = next(); dimensions > 0; dimensions--) ending += ".0";
        parts.resize(next());
        for (Part& p : parts) {
            p.array = next();
            p.count = next();
            for (auto* list : {&p.source, &p.position})
                for (int64_t i = 0; i < p.count; i++) list->push_back(next());
        }
        std::fclose(file);
        data.resize(size * rows);
    }
    // Stores sample `number`. Where patterns are not in their order (ns_settling.h), `rows` is where
    // they are, and `units` the numbers of each pattern in each array; 0: not by pattern.
    void sample(int64_t number, const std::vector<const T*>& arrays,
                const std::vector<int64_t>& units = {}, const int64_t* rows = nullptr) {
        if (number / this->rows != chunk) {
            write();
            open(number / this->rows);
        }
        T* row = data.data() + (number % this->rows) * size;
        for (const Part& p : parts) {
            const T* values = arrays[p.array];
            const int64_t n = rows ? units[p.array] : 0;
            for (int64_t i = 0; i < p.count; i++) {
                const int64_t from = p.source[i];
                row[p.position[i]] = values[n ? rows[from / n] * n + from % n : from];
            }
        }
        filled++;
    }
    // Writes the samples kept since the last file.
    void write() {
        if (!filled) return;
        const std::string path = chunk_path(), temporary = folder + "/.part";
        std::FILE* file = std::fopen(temporary.c_str(), "wb");
        require(file, "open " + temporary);
        const size_t count = std::fwrite(data.data(), sizeof(T), data.size(), file);
        require(count == data.size(), "write " + path);
        const bool closed = std::fclose(file) == 0;
        require(closed && std::rename(temporary.c_str(), path.c_str()) == 0, "write " + path);
        filled = 0;
    }

  private:
    std::string chunk_path() const { return folder + "/" + std::to_string(chunk) + ending; }

    void open(int64_t number) {
        chunk = number;
        for (T& v : data) v = std::numeric_limits<T>::quiet_NaN();
        const std::string path = chunk_path();
        if (std::FILE* file = std::fopen(path.c_str(), "rb")) {  // of a run that goes on
            const size_t count = std::fread(data.data(), sizeof(T), data.size(), file);
            require(count == data.size(), "read " + path);
            std::fclose(file);
        }
    }
};

}  // namespace ns
#endif
