{# After the last step: weights whose change was only accumulated. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    if (!{{array('ended')}}[0]) return;
    {{_parts.materialize(folds=true)}}
{% endblock %}
