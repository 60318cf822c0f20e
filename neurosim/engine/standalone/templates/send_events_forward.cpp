{# Before a step: events forward, and the net inputs and messages that follow from them. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.draw()}}
    {{_parts.restore()}}
    {{_parts.fold_integrals()}}
    {{_parts.receive_events('x')}}
    {{_parts.net_inputs()}}
    {{_parts.late_messages()}}
{% endblock %}
