{# Before a step: what neurons and multiplier units say to their neighbours. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.messages(learns=true)}}
{% endblock %}
