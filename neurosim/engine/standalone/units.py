"""Translation units of a program, made from the sources that Brian2 generates.

Below `brian`. Start at `stepped_unit`.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import neurosim.engine.quiet  # noqa: F401

from brian2 import prefs

from neurosim.engine.compiler import processor

INCLUDE = Path(__file__).parent / "include"
STEPS, ONCE = "steps.cpp", "once.cpp"  # translation units of a program
WHOLE = "whole.cpp"  # both as one
# headers included once, before the namespaces of the code objects
HEADERS = (
    "climits cmath iostream fstream ctime cstring algorithm cstdio cstdlib random vector map tuple "
    "set string fcntl.h sys/mman.h sys/stat.h unistd.h"
)
OWN_HEADERS = (
    "objects.h network.h brianlib/common_math.h brianlib/stdint_compat.h "
    "ns_kernels.h ns_shared.h ns_versions.h ns_events.h ns_noise.h ns_points.h ns_present.h "
    "ns_record.h ns_anderson.h ns_settling.h"
)
OBJECTS = "objects.cpp"  # the arrays
RUN_ONCE = ("synapses_classes", "run", "main")  # other sources that need no optimisation

# What Brian2 writes out for each array, to set it from an argument, and to write it to a file
SETS = re.compile(
    r"if \(name == (?P<name>\"[^\"]*\")\) \{\s*"
    r"var_size = (?P<size>\d+);\s*data_size = (?P=size)\*sizeof\(\w+\);\s*"
    r"if \(s_value\[0\] == '-' \|\| \(s_value\[0\] >= '0' && s_value\[0\] <= '9'\)\) \{\s*"
    r"// set from single value\s*"
    r"set_variable_from_value(<\w+>)?\(name, (?P<array>\w+), var_size, [^\n]*\);\s*"
    r"\} else \{\s*// set from file\s*"
    r"set_variable_from_file\(name, (?P=array), data_size, s_value\);\s*\}\s*return;\s*\}"
)
WRITES = re.compile(
    r"ofstream outfile_(?P<array>\w+);\s*"
    r"outfile_(?P=array)\.open\(results_dir \+ (?P<file>\"[^\"]*\"), ios::binary \| ios::out\);\s*"
    r"if\(outfile_(?P=array)\.is_open\(\)\)\s*\{\s*"
    r"outfile_(?P=array)\.write\(reinterpret_cast<char\*>\((?P=array)\), "
    r"(?P<size>\d+)\*sizeof\((?P=array)\[0\]\)\);\s*outfile_(?P=array)\.close\(\);\s*"
    r"\} else\s*\{\s*"
    r"std::cout << \"Error writing output file for (?P=array)\.\" << endl;\s*\}"
)
BY_NAME = "//////////////// set arrays by name ///////\n"
# the same, once for all arrays of a type
FUNCTIONS = """
template<class T> void set_array(
    const std::string& name, T* first, size_t size, const std::string& value) {
    if (value[0] == '-' || (value[0] >= '0' && value[0] <= '9')) {
        const bool whole = std::numeric_limits<T>::is_integer;
        const T number = whole ? (T)atol(value.c_str()) : (T)atof(value.c_str());
        set_variable_from_value(name, first, size, number);
    } else {
        set_variable_from_file(name, first, size * sizeof(T), value);
    }
}
template<class T> void write_array(
    const char* name, const T* first, size_t size, const char* file_name) {
    std::ofstream file((results_dir + file_name).c_str(), std::ios::binary | std::ios::out);
    if (file.is_open()) {
        file.write(reinterpret_cast<const char*>(first), size * sizeof(T));
        file.close();
    } else {
        std::cout << "Error writing output file for " << name << "." << std::endl;
    }
}
"""


def shortened(objects: str) -> str:
    """Return Brian2's source of the arrays with a call where it repeats statements for each array.

    They take a tenth of the time of a build that optimises nothing. What a version of Brian2
    writes in another way stays.
    """
    if BY_NAME not in objects:
        return objects
    set_by_name = r"if (name == \g<name>) return set_array(name, \g<array>, \g<size>, s_value);"
    written = r'write_array("\g<array>", \g<array>, \g<size>, \g<file>);'
    calling = WRITES.sub(written, SETS.sub(set_by_name, objects))
    return "#include <limits>\n" + calling.replace(BY_NAME, FUNCTIONS + BY_NAME)


def stepped_unit(device: Any) -> str:
    """Return the translation unit STEPS, of all code that runs at every step.

    Each code object is in a namespace of its own.
    """
    lines = [f"#include <{header}>" for header in HEADERS.split()]
    lines += [f'#include "{header}"' for header in OWN_HEADERS.split()]
    lines += [f"#include {header}" for header in prefs.codegen.cpp.headers]
    by_name = sorted(device.code_objects.values(), key=lambda code: str(code.name))
    for i, code in enumerate(by_name):
        blocks = [f"{block}_{code.name}" for block in code.before_after_blocks]
        functions = [f"_run_{code.name}", *(f"_{block}" for block in blocks)]
        for j, (part, function) in enumerate(zip([code.name, *blocks], functions, strict=True)):
            lines.append(f"namespace unit_{i}_{j} {{")
            lines.append(f'#include "code_objects/{part}.cpp"')
            lines.append("}")
            lines.append(f"void {function}() {{ unit_{i}_{j}::{function}(); }}")
    return "\n".join([*lines, '#include "network.cpp"', ""])


def unit_run_once(directory: Path) -> str:
    """Return the translation unit ONCE, of all other sources."""
    sources = [f"{name}.cpp" for name in RUN_ONCE]
    if (directory / "brianlib" / "spikequeue.cpp").exists():
        sources.insert(0, "brianlib/spikequeue.cpp")
    lines = [f'#include "{source}"\n' for source in sources]
    return "".join([shortened((directory / OBJECTS).read_text()), *lines])


def fingerprint(directory: Path, compiler: list[str], command: list[str]) -> str:
    """Return 24 hex digits of a hash of sources, compiler version, flags and processor.

    `compiler` is the beginning of `command`: with ``ccache g++``, g++ has the version that counts.
    """
    digest = hashlib.sha256()
    for root in (directory, INCLUDE):
        sources = [path for path in root.rglob("*") if path.suffix in (".cpp", ".h")]
        for path in sorted(sources):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    digest.update(version + " ".join(command).encode() + processor().encode())
    return digest.hexdigest()[:24]
