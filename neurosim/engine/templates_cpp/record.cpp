{# Every `every` steps: chosen values appended to files, as raw doubles, one row a sample. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include <cstdio>
#include <cstdlib>
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    if ({{_array('step')}}[0] % {{_array('record_steps')}}[0] == 0) {
        {% for q in recorded %}
        {
            static FILE* _file = 0;
            if (!_file && !(_file = fopen("data/{{q.file}}", "ab"))) { std::cerr << "cannot open data/{{q.file}}" << std::endl; exit(2); }
            static double _row[{{q.n}}];
            const double* _values = {{_array(q.variable)}};
            const int32_t* _chosen = {{_array(q.chosen)}};
            for (int _i = 0; _i < {{q.n}}; _i++) _row[_i] = _values[_chosen[_i]];
            if (fwrite(_row, sizeof(double), {{q.n}}, _file) != {{q.n}}) { std::cerr << "cannot write data/{{q.file}}" << std::endl; exit(3); }
        }
        {% endfor %}
    }
{% endblock %}
