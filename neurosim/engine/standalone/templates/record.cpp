{# Every few steps: write recorded values into files, as raw numbers. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
#include "ns_record.h"
{% endblock %}
{% block maincode %}
    const int64_t _step = {{array('step')}}[0] - {{array('origin')}}[0], _every = {{array('record_steps')}}[0];
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
        {{_parts.copy_weights()}}
        {{array('stage_time')}}[0] = {{array('began')}}[0] + {{array('t')}}[0];
        {{_parts.all_statements('copies')}}
        {% for r in recorded %}
        _recorder_{{r.number}}.sample(
            _step / _every, { {% for name in r.arrays %}{{array(name)}}, {% endfor %} }
            {%- if settles_each %},
            { {{r.units | join(', ')}} }, ns::settling<{{K}}>().rows()
            {%- endif %});
        {% endfor %}
    }
{% endblock %}
