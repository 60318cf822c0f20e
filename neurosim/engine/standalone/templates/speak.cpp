{# Before a step: events of neurons, and what multiplier units make of them. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.refold()}}
    {{_parts.hear('x')}}
    {{_parts.forward()}}
    {{_parts.late()}}
{% endblock %}
