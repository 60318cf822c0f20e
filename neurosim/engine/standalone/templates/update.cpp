{# One step of explicit Euler, exponential Euler or the semi-implicit alternation, by the messages of this step. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% if settles %}
    if ({{array('ticks')}}[0] % {{guard_every}} == 0) {
        {{_parts.derivatives()}}
        {% if points %}
        {{_parts.look()}}
        if (_over) { {{array('settled')}}[0] = 1; return; }
        {% else %}
        {{_parts.residual()}}
        if (_residual < {{array('settle')}}[0]) { {{array('settled')}}[0] = 1; return; }
        {% endif %}
    }
    {% endif %}
    {{_parts.learn()}}
    {{_parts.passes('update')}}
    {% if method == 'semi_implicit' %}
    {{_parts.forward()}}
    {{_parts.passes('multipliers')}}
    {% endif %}
{% endblock %}
