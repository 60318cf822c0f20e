{# Before the messages of a recorded step: copy weights that move in the pass that sends them. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    const int64_t _step = {{array('step')}}[0] - {{array('origin')}}[0];
    if (_step % {{array('record_steps')}}[0]) return;
    {% for q in projections if q.copy and q.learns_on_way_back %}
    std::memcpy(
        {{array(q.copy)}}, {{array('w_' + q.name)}}, {{q.size}} * sizeof({{real}}));
    {% endfor %}
{% endblock %}
