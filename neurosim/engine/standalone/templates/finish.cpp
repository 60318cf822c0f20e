{# End of a step: stop at the last one, where the state has settled, or where it has left its bound. #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% if counts %}
    if ({{array('settled')}}[0]) { Network::_globally_stopped = true; return; }
    {% endif %}
    {{array('step')}}[0] += 1;
    {{array('ticks')}}[0] += 1;
    const bool _last = {{array('ticks')}}[0] >= {{array('n_steps')}}[0];
    if (_last || {{array('ticks')}}[0] % {{guard_every}} == 0 || {{'true' if method == 'adaptive' else 'false'}}) {
        const double _bound = {{array('bound')}}[0];
        {% if points %}
        bool _news = false;
        {% for p in populations %}
        {% for v in ('x', 'lam') %}
        _news |= ns::leave<{{points}}, {{p.n * K // points}}>({{array(v + '_' + p.name)}}, _bound, {{populations.index(p) + 1}}, {{array('step')}}[0], {{array('ending')}}, {{array('ended_at')}});
        {% endfor %}
        {% endfor %}
        {{_parts.rest()}}
        if (ns::all_ended<{{points}}>({{array('ending')}})) {{array('settled')}}[0] = 1;
        {% else %}
        {% for p in populations %}
        if ({{array('diverged')}}[0] == 0 && (ns::beyond({{array('x_' + p.name)}}, {{p.n * K}}, _bound) || ns::beyond({{array('lam_' + p.name)}}, {{p.n * K}}, _bound)))
            {{array('diverged')}}[0] = {{loop.index}};
        {% endfor %}
        {% endif %}
    }
    if (_last || {{array('diverged')}}[0] || {{array('settled')}}[0]) Network::_globally_stopped = true;
{% endblock %}
