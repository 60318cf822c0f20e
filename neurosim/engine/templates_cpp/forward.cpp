{# Every net input, a = b + sum of W x; and the softmax's normaliser where a loss needs it. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    {% for p in populations %}
    ns::start<{{K}}, {{p.n}}>({{_array('b_' + p.name)}}, {{_array('a_' + p.name)}});
    {% endfor %}
    {% for q in projections %}
    {% if q.sparse %}
    ns::forward_rows<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('row_' + q.name)}}, {{_array('col_' + q.name)}}, {{_array('x_' + q.pre)}}, {{_array('a_' + q.post)}});
    {% else %}
    ns::forward<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('x_' + q.pre)}}, {{_array('a_' + q.post)}});
    {% endif %}
    {% endfor %}
    {% for p in populations if p.partition %}
    ns::log_partition<{{K}}, {{p.n}}>({{_array('x_' + p.name)}}, {{_array('log_partition_' + p.name)}});
    {% endfor %}
{% endblock %}
