{# After the last step: bring weights up to date whose changes were deferred, collected or summed in
   integrals. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    if (!{{array('ended')}}[0]) return;
    {{_parts.materialize(all=true)}}
{% endblock %}
