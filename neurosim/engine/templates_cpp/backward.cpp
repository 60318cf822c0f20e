{# Every feedback, sum of W^T delta, from the weights of this step. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
#include <cstring>
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    {% for p in populations %}
    std::memset({{_array('feedback_' + p.name)}}, 0, {{p.n * K}} * sizeof(double));
    {% endfor %}
    {% for q in projections if q.feeds_back %}
    {% if q.sparse %}
    ns::backward_rows<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('row_' + q.name)}}, {{_array('col_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('feedback_' + q.pre)}});
    {% else %}
    ns::backward<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('feedback_' + q.pre)}});
    {% endif %}
    {% endfor %}
{% endblock %}
