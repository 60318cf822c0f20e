{# After the last step: leave what the next process goes on from, and bring weights up to date whose
   changes were deferred, collected or summed in integrals. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    if (!{{array('ended')}}[0]) return;
    {{_parts.save()}}
{% endblock %}
