{# Before a step, after the events forward: events backward, and the feedback that units receive. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {{_parts.receive_events('delta')}}
    {{_parts.feedback(learns=false)}}
    {{_parts.all_statements('weighted')}}
{% endblock %}
