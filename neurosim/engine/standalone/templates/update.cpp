{# One step of explicit Euler, exponential Euler or the semi-implicit alternation, by the messages
   of this step. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% if modulators %}
#include "ns_present.h"
{% endif %}
{% endblock %}
{% block maincode %}
    {% if settles %}
    if ({{array('step')}}[0] % {{guard_every}} == 0) {
        {{_parts.derivatives()}}
        {% if points %}
        {{_parts.end_settled_points()}}
        if (_all_ended) { {{array('settled')}}[0] = 1; return; }
        {% elif settles_each %}
        {{_parts.end_settled_patterns()}}
        {% else %}
        {{_parts.residual()}}
        if (_residual < {{array('settle')}}[0]) { {{array('settled')}}[0] = 1; return; }
        {% endif %}
    }
    {% endif %}
    {{_parts.learn()}}
    {% if anderson %}
    {{_parts.accelerated_step()}}
    {% else %}
    {{_parts.move_states()}}
    {% endif %}
    {% if alternates %}
    {{_parts.net_inputs(again=true)}}
    {{_parts.move_multipliers()}}
    {% endif %}
{% endblock %}
