{# Every few steps: chosen values into files, as raw numbers. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
#include "ns_record.h"
{% endblock %}
{% block maincode %}
    const int64_t _step = {{array('step')}}[0], _every = {{array('record_steps')}}[0];
    {% for r in recorded %}
    static ns::Recorder<{{real}}> _recorder_{{r.number}}({{r.number}});
    {% endfor %}
    if ({{array('ended')}}[0]) {  // after the last step
        {% for r in recorded %}
        _recorder_{{r.number}}.write();
        {% endfor %}
        return;
    }
    if (_step % _every == 0) {
        {% if records_w %}{{_parts.materialize(folds=true)}}{% endif %}
        {{_parts.passes('copies')}}
        {% for r in recorded %}
        _recorder_{{r.number}}.sample(_step / _every, { {% for n in r.arrays %}{{array(n)}}, {% endfor %} });
        {% endfor %}
    }
{% endblock %}
