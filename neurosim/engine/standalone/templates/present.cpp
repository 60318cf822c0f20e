{# Start of a step: clamp the next rows of the data set when a presentation begins, and set the gate
   of plasticity. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
#include "ns_present.h"
{% endblock %}
{% block maincode %}
    const int64_t _shown = {{array('step')}}[0] - {{array('first_step')}}[0];
    const int64_t _length = {{array('present_steps')}}[0], _phase = _shown % _length;
    {{array('plastic')}}[0] = _phase >= {{array('gate_steps')}}[0];
    {% if tracks %}
    ns::Presentation& _presentation = ns::presentation();
    _presentation.phase = _phase;
    if (_phase == 0 || {{array('ticks')}}[0] == 0) {
        const int64_t _left = {{array('n_steps')}}[0] - {{array('ticks')}}[0];
        _presentation.skips_before = _phase == 0 && _left >= _length;
        _presentation.skips_after = _phase == 0 && _left > _length;
    }
    {% endif %}
    if (_phase == 0 || {{array('ticks')}}[0] == 0) {
        {{_parts.materialize()}}
        static const int64_t* _order = (const int64_t*)ns::mapped("data/order.bin");
        const int64_t* _rows = _order + _shown / _length * {{K}};
        {% for d in data_sources %}
        {
            static const {{real}}* _data = (const {{real}}*)ns::mapped("{{d.file}}");
            for (int _k = 0; _k < {{K}}; _k++)
                {% if d.repeats %}
                std::fill_n({{array(d.variable)}} + (size_t)_k * {{d.n}}, {{d.n}}, _data[_rows[_k]]);
                {% else %}
                std::memcpy({{array(d.variable)}} + (size_t)_k * {{d.n}},
                            _data + (size_t)_rows[_k] * {{d.n}}, {{d.n}} * sizeof({{real}}));
                {% endif %}
        }
        {% endfor %}
        if (_phase == 0) {
            {% for owner in projections + populations if owner.rule %}
            {% for variable, start in owner.rule.reset %}
            std::fill({{array(variable)}}, {{array(variable)}} + {{owner.rule.size}},
                      {{array(start)}}[0]);
            {% endfor %}
            {% endfor %}
        }
        {% for p in populations if p.adaptive_threshold %}
        {{array('clamped_at_' + p.name)}}[0] = {{array('t')}}[0];
        {% endfor %}
        ns::flag<0>() = 1;
        ns::data_version()++;
        {% for q in projections if q.keeps_product %}
        ns::flag<{{q.id}}>() = 1;
        {% endfor %}
    }
{% endblock %}
