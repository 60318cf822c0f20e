{# One step of an explicit Runge-Kutta method on the whole coupled state, including plastic weights.
   Messages are sent anew at every stage; those of the first stage were sent before the step.
   Reads the coefficients `nodes` and `weights`, and `states`. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% set n_stages = weights | length %}
    const {{real}} _h = {{array('step_length')}}[0];
    static const {{real}} _c[] = { {{nodes | join(', ')}}, 0 }, _b[] = { {{weights | join(', ')}} };
    const double _t = {{array('t')}}[0];
    const bool _learning = {{array('plastic')}}[0];
    {% for s in states %}
    {{real}} *_y_{{s.id}} = ns::buffer<{{real}}, {{1000 + 3 * s.id}}, {{s.n}}>(),
        *_s_{{s.id}} = ns::buffer<{{real}}, {{1001 + 3 * s.id}}, {{s.n}}>();
    {% endfor %}
    for (int _stage = 0; _stage < {{n_stages}}; _stage++) {
        {{array('stage_time')}}[0] = _t + _c[_stage] * _h;
        if (_stage) {
            {{_parts.messages()}}
        }
        {{_parts.derivatives()}}
        {% if settles %}
        if (_stage == 0 && {{array('step')}}[0] % {{guard_every}} == 0) {
            {% if points %}
            {{_parts.end_settled_points()}}
            if (_all_ended) { {{array('settled')}}[0] = 1; return; }
            if (_some_ended) {
                {{_parts.derivatives()}}
            }
            {% elif settles_each %}
            {{_parts.end_settled_patterns()}}
            {% else %}
            {{_parts.residual()}}
            if (_residual < {{array('settle')}}[0]) { {{array('settled')}}[0] = 1; return; }
            {% endif %}
        }
        {% endif %}
        {% for s in states if s.projection or s.biases_of %}
        if (_learning) {
            {% set rate = _parts.rate_of(s) %}
            {% if s.projection %}
            {% set tau = array('tau_w_' + s.projection.name) ~ '[0]' %}
            {% set decay = '-' ~ array('l2_' + s.projection.name) ~ '[0] / ' ~ tau %}
            std::memcpy({{rate}}, {{array(s.variable)}}, {{s.n}} * sizeof({{real}}));
            {{_parts.outer(s.projection, rate, decay, '1 / ' ~ tau ~ ' / ' ~ K)}}
            {% else %}
            {% set tau = array('tau_w_' + s.biases_of.bias) ~ '[0]' %}
            std::memset({{rate}}, 0, {{s.n}} * sizeof({{real}}));
            ns::outer_bias<{{K * s.biases_of.n // s.n}}, {{s.n}}, {{real}}>(
                {{rate}}, {{array(s.biases_of.plasticity_delta)}}, 1, 1 / {{tau}} / {{K}});
            {% endif %}
        }
        {% endfor %}
        {% for s in states %}
        {% if s.projection or s.biases_of %}if (_learning) {% endif %}{
            const size_t _n = {% if settles_each %}{{array('active')}}[0] * {{s.n // K}}{% else %}{{s.n}}{% endif %};
            {{real}} *__restrict _now = {{array(s.variable)}};
            {{real}} *__restrict _start = _y_{{s.id}}, *__restrict _sum = _s_{{s.id}};
            const {{real}}* __restrict _rate = {{_parts.rate_of(s)}};
            if (_stage == 0) {
                std::memcpy(_start, _now, _n * sizeof({{real}}));
                std::memset(_sum, 0, _n * sizeof({{real}}));
            }
            const {{real}} _weight = _b[_stage];
            for (size_t i = 0; i < _n; i++) _sum[i] += _weight * _rate[i];
            if (_stage < {{n_stages - 1}}) {
                const {{real}} _far = _h * _c[_stage + 1];
                for (size_t i = 0; i < _n; i++) _now[i] = _start[i] + _far * _rate[i];
            } else {
                for (size_t i = 0; i < _n; i++) _now[i] = _start[i] + _h * _sum[i];
            }
        }
        {% endfor %}
        if (_learning) {
            ns::flag<0>() = 1;
            {% for q in projections if q.keeps_product %}
            ns::flag<{{q.id}}>() = 1;
            {% endfor %}
            {% for q in projections %}
            {{_parts.follow_signs(q)}}
            {% endfor %}
        }
    }
    {% for q in projections %}
    if (_learning) {
        const {{real}} _rate = _h / {{array('tau_w_' + q.name)}}[0];
        {{_parts.proximal(q, '_rate')}}
        {{_parts.follow_signs(q)}}
    }
    {% endfor %}
{% endblock %}
