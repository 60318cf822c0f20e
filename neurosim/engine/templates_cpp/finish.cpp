{# End of a step: stop at the last one, or where the state has left its bound. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_kernels.h"
#include "network.h"
{% endblock %}
{% macro _array(name) %}{{get_array_name(variables[name])}}{% endmacro %}
{% block maincode %}
    {{_array('step')}}[0] += 1;
    {{_array('ticks')}}[0] += 1;
    const bool _last = {{_array('ticks')}}[0] >= {{_array('n_steps')}}[0];
    if (_last || {{_array('ticks')}}[0] % {{guard_every}} == 0) {
        const double _bound = {{_array('bound')}}[0];
        {% for p in populations %}
        if ({{_array('diverged')}}[0] == 0 && (ns::beyond({{_array('x_' + p.name)}}, {{p.n * K}}, _bound) || ns::beyond({{_array('lam_' + p.name)}}, {{p.n * K}}, _bound)))
            {{_array('diverged')}}[0] = {{loop.index}};
        {% endfor %}
    }
    if (_last || {{_array('diverged')}}[0]) Network::_globally_stopped = true;
{% endblock %}
