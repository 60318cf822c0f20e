{# Before a step: events of multiplier units, and what neurons hear of them. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.hear('delta')}}
    {{_parts.feedback(learns=false)}}
{% endblock %}
