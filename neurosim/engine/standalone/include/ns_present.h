// Presentations: a file of the data set as an array.
//
// The file is mapped, not read: rows are copied directly from its pages, which processes that train
// on the same data set share.
#ifndef NS_PRESENT_H
#define NS_PRESENT_H
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
namespace ns {
inline const void* mapped(const char* path) {
    const int file = open(path, O_RDONLY);
    struct stat info;
    if (file < 0 || fstat(file, &info)) {
        std::fprintf(stderr, "cannot open %s\n", path);
        std::exit(2);
    }
    const void* data = mmap(0, info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    return data;
}
}  // namespace ns
#endif
