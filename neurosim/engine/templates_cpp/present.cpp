{# Start of a step: the next rows of the data set when a presentation begins, and the gate of plasticity. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstring>
#include <cstdlib>
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    const int64_t _now = {{_array('step')}}[0];
    const int64_t _length = {{_array('present_steps')}}[0], _phase = _now % _length;
    {{_array('plastic')}}[0] = _phase >= {{_array('gate_steps')}}[0];
    if (_phase == 0 || {{_array('ticks')}}[0] == 0) {
        static const int64_t* _order = 0;
        if (!_order) {
            const int _file = open("data/order.bin", O_RDONLY);
            struct stat _info;
            if (_file < 0 || fstat(_file, &_info)) { std::cerr << "cannot open data/order.bin" << std::endl; exit(2); }
            _order = (const int64_t*)mmap(0, _info.st_size, PROT_READ, MAP_PRIVATE, _file, 0);
            close(_file);
        }
        const int64_t _first = ((_now - {{_array('first_step')}}[0]) / _length) * {{K}};
        {% for q in sources %}
        {   // {{q.variable}}
            static const double* _rows = 0;
            if (!_rows) {
                const int _file = open("{{q.file}}", O_RDONLY);
                struct stat _info;
                if (_file < 0 || fstat(_file, &_info)) { std::cerr << "cannot open {{q.file}}" << std::endl; exit(2); }
                _rows = (const double*)mmap(0, _info.st_size, PROT_READ, MAP_PRIVATE, _file, 0);
                close(_file);
            }
            for (int _k = 0; _k < {{K}}; _k++)
                std::memcpy({{_array(q.variable)}} + (size_t)_k * {{q.n}}, _rows + (size_t)_order[_first + _k] * {{q.n}}, {{q.n}} * sizeof(double));
        }
        {% endfor %}
    }
{% endblock %}
