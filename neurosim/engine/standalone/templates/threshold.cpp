{# Finds the units that send an event: Brian2's threshold without its refractory period, in blocks
   that compile to vector instructions, as most units send nothing at most steps. #}
{# USES_VARIABLES { N } #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
#include "ns_events.h"
{% endblock %}
{% block maincode %}
    const int _vectorisation_idx = -1;
    {{scalar_code|autoindent}}
    {% set _eventspace = get_array_name(eventspace_variable) %}
    int _count = 0;
    for (int _begin = 0; _begin < (int)N; _begin += 64) {
        const int _end = _begin + 64 < (int)N ? _begin + 64 : (int)N;
        double _sends[64], _any = 0;
        _Pragma("GCC ivdep")
        for (int _idx = _begin; _idx < _end; _idx++) {
            const size_t _vectorisation_idx = _idx;
            {{vector_code|autoindent}}
            _sends[_idx - _begin] = _cond ? 1 : 0;
            _any += _sends[_idx - _begin];
        }
        if (_any > 0) _count = ns::positive(_sends, _end - _begin, _begin, {{_eventspace}}, _count);
    }
    {{_eventspace}}[N] = _count;
{% endblock %}

{% block after_code %}
{% set _eventspace = get_array_name(eventspace_variable) %}
    {{_eventspace}}[N] = 0;
{% endblock %}
