{# Every feedback, sum of W^T delta; then, where plastic, every weight and bias. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
#include <cstring>
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    const double _dt = {{_array('dt')}}[0];
    const bool _plastic = {{_array('plastic')}}[0] != 0;
    {% for p in populations %}
    std::memset({{_array('feedback_' + p.name)}}, 0, {{p.n * K}} * sizeof(double));
    {% endfor %}
    {# all feedback is read from the weights of this step, before any of them moves #}
    {% for q in projections if q.feeds_back %}
    {% if q.sparse %}
    ns::backward_rows<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('row_' + q.name)}}, {{_array('col_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('feedback_' + q.pre)}});
    {% elif K == 1 and not q.priced %}
    if (_plastic)
        ns::backward_learn<{{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('x_' + q.pre)}}, {{_array('feedback_' + q.pre)}}, _dt / {{_array('tau_w_' + q.name)}}[0]);
    else
        ns::backward<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('feedback_' + q.pre)}});
    {% else %}
    ns::backward<{{K}}, {{q.m}}, {{q.n}}>({{_array('w_' + q.name)}}, {{_array('delta_' + q.post)}}, {{_array('feedback_' + q.pre)}});
    {% endif %}
    {% endfor %}
    if (_plastic) {
        {% for q in projections if not (q.feeds_back and K == 1 and not q.priced and not q.sparse) %}
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
