{# Where plastic, every weight and bias moves by the messages of this step. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    if ({{_array('plastic')}}[0]) {
        const double _dt = {{_array('dt')}}[0];
        {% for q in projections %}
        {
            const double _rate = _dt / {{_array('tau_w_' + q.name)}}[0];
            const double _decay = _rate * {{_array('l2_' + q.name)}}[0], _shrink = _rate * {{_array('l1_' + q.name)}}[0];
            {% if q.sparse %}
            ns::learn_rows<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('row_' + q.name)}}, {{_array('col_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('x_' + q.pre)}}, _rate / {{K}}, _decay, _shrink);
            {% else %}
            ns::learn<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('x_' + q.pre)}}, _rate / {{K}}, _decay, _shrink);
            {% endif %}
        }
        {% endfor %}
        {% for p in populations %}
        ns::learn_bias<{{K}}, {{p.n}}>({{_array('b_' + p.name)}}, {{_array('delta_' + p.name)}}, _dt / {{_array('tau_w_' + p.bias)}}[0] / {{K}});
        {% endfor %}
    }
{% endblock %}
