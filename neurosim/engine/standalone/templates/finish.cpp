{# End of a step: stop if it is the last one, or if the state has settled or left its bound. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% set ticks, diverged, settled = array('ticks'), array('diverged'), array('settled') %}
    {% if settles %}
    if ({{settled}}[0]) { Network::_globally_stopped = true; return; }
    {% endif %}
    {{array('step')}}[0] += 1;
    {{ticks}}[0] += 1;
    const bool _last = {{ticks}}[0] >= {{array('n_steps')}}[0];
    if (_last || {{array('step')}}[0] % {{guard_every}} == 0 || {{adaptive | lower}}) {
        const double _bound = {{array('bound')}}[0];
        {% if points %}
        {% set ending = array('ending') %}
        bool _some_ended = false;
        {% for p in populations %}
        {% set number = loop.index %}
        {% for v in ('x', 'lam') %}
        _some_ended |= ns::leave<{{points}}, {{p.n * K // points}}>(
            {{array(v + '_' + p.name)}}, _bound, {{number}}, {{array('step')}}[0], {{ending}},
            {{array('ended_at')}});
        {% endfor %}
        {% endfor %}
        {{_parts.hold_ended_points()}}
        if (ns::all_ended<{{points}}>({{ending}})) {{settled}}[0] = 1;
        {% else %}
        {% for p in populations %}
        if ({{diverged}}[0] == 0
                && (ns::beyond({{array('x_' + p.name)}}, {{p.n * K}}, _bound)
                    || ns::beyond({{array('lam_' + p.name)}}, {{p.n * K}}, _bound)))
            {{diverged}}[0] = {{loop.index}};
        {% endfor %}
        {% endif %}
    }
    const bool _left = {{diverged}}[0] || {{settled}}[0] || ns::interrupted();
    {% if undisturbed %}
    if (_last || _left) Network::_globally_stopped = true;
    {% else %}
    if (_left) Network::_globally_stopped = true;
    else if (_last) {
        Network& _network = brian::neurosim_network;
        ns::tick_until(_network, _network.t + {{array('step_dt')}}[0]);
    }
    {% endif %}
{% endblock %}
