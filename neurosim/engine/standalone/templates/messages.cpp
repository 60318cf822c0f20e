{# Before a step: units send their dense messages, forward and back. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.draw()}}
    {{_parts.restore()}}
    {{_parts.messages(learns=true)}}
{% endblock %}
