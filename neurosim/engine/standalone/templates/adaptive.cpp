{# Dormand-Prince 5(4) on the whole coupled state, weights fixed: as many steps as the tolerance
   requires in one tick. Near rest the error of a step is held below a share of the remaining
   motion, so that the rate of change keeps falling and the run settles, whatever the tolerance.
   Reads the coefficients `stages`, `nodes` and `errors`, that `share`, and `states`. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% set step_size, residual, settle = array('step_size'), array('residual'), array('settle') %}
    static const {{real}} _a[7][6] = {
        {% for row in stages %}
        { {{row | join(', ')}} },
        {% endfor %}
    };
    static const {{real}} _c[7] = { {{nodes | join(', ')}} };
    static const {{real}} _e[7] = { {{errors | join(', ')}} };
    {% for s in states %}
    {{real}}* _y_{{s.id}} = ns::buffer<{{real}}, {{1000 + 3 * s.id}}, {{s.n}}>();
    {{real}}* _k_{{s.id}} = ns::buffer<{{real}}, {{1001 + 3 * s.id}}, {{7 * s.n}}>();
    {% endfor %}
    // the last tick may be shorter than the others
    const bool _last = {{array('ticks')}}[0] + 1 == {{array('n_steps')}}[0];
    const double _end = _last ? {{array('last_tick')}}[0] : {{array('dt')}}[0];
    const double _t = {{array('began')}}[0] + {{array('t')}}[0];
    const double _tolerance = {{array('tolerance')}}[0];
    double _done = 0;
    bool _known = false;  // whether stage 0 holds the rates of this state
    while (_done < _end * (1 - 1e-12)) {
        const bool _whole = {{step_size}}[0] < _end - _done;
        const {{real}} _h = _whole ? {{step_size}}[0] : _end - _done;
        {% for s in states %}
        std::memcpy(_y_{{s.id}}, {{array(s.variable)}}, {{s.n}} * sizeof({{real}}));
        {% endfor %}
        for (int _stage = _known ? 1 : 0; _stage < 7; _stage++) {
            {{array('stage_time')}}[0] = _t + _done + _c[_stage] * _h;
            if (_stage) {
                {% for s in states %}
                {
                    {{real}}* __restrict _now = {{array(s.variable)}};
                    std::memcpy(_now, _y_{{s.id}}, {{s.n}} * sizeof({{real}}));
                    for (int _j = 0; _j < _stage; _j++)
                        if (_a[_stage][_j] != 0)
                            ns::blend<{{real}}>(
                                {{s.n}}, 1, _h * _a[_stage][_j],
                                _k_{{s.id}} + _j * (size_t){{s.n}}, _now);
                }
                {% endfor %}
            }
            {{_parts.messages()}}
            {{_parts.derivatives()}}
            {% for s in states %}
            std::memcpy(
                _k_{{s.id}} + _stage * (size_t){{s.n}}, {{_parts.rate_of(s)}},
                {{s.n}} * sizeof({{real}}));
            {% endfor %}
            if (_stage == 0) {
                {{_parts.residual()}}
                if (_residual < {{settle}}[0]) break;
            }
        }
        if ({{residual}}[0] < {{settle}}[0]) break;
        const double _floor = {{'1e-6' if real == 'float' else '1e-14'}};
        const double _left = {{share}} * {{residual}}[0];
        const double _allowed = std::max(_floor, std::min(_tolerance, _left));
        double _squares = 0;
        int64_t _beyond = 0;  // the first population whose error is not finite
        {% for s in states %}
        for (size_t i = 0; i < {{s.n}}; i++) {
            double _error = 0;
            for (int _j = 0; _j < 7; _j++)
                _error += _e[_j] * _k_{{s.id}}[i + _j * (size_t){{s.n}}];
            _error *= _h / (_allowed * (1 + std::max(std::fabs(_y_{{s.id}}[i]),
                                                     std::fabs({{array(s.variable)}}[i]))));
            _squares += _error * _error;
        }
        if (_beyond == 0 && !(_squares < HUGE_VAL))
            _beyond = {{s.owner}};
        {% endfor %}
        const double _error = std::sqrt(_squares / {{states | sum(attribute='n')}});
        const double _factor = std::min(5.0, std::max(0.2, 0.9 * std::pow(_error + 1e-30, -0.2)));
        _known = true;
        if (_error <= 1) {
            _done += _h;
            {{array('accepted')}}[0] += 1;
            {% for s in states %}
            std::memcpy(
                _k_{{s.id}}, _k_{{s.id}} + 6 * (size_t){{s.n}}, {{s.n}} * sizeof({{real}}));
            {% endfor %}
            {{_parts.residual()}}
            if (_residual < {{settle}}[0]) break;
        } else {
            {% for s in states %}
            std::memcpy({{array(s.variable)}}, _y_{{s.id}}, {{s.n}} * sizeof({{real}}));
            {% endfor %}
            if (!(_error < 1e300)) {  // not a number: the state has left every bound
                {{array('diverged')}}[0] = _beyond;
                break;
            }
        }
        if (_whole || _error > 1) {{step_size}}[0] = _h * _factor;
    }
    {{array('elapsed')}}[0] += _done < _end * (1 - 1e-12) ? _done : _end;
    if ({{residual}}[0] < {{settle}}[0]) {{array('settled')}}[0] = 1;
{% endblock %}
