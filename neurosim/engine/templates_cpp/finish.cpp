{# End of a step: stop at the last one, where the state has settled, or where it has left its bound. #}
{% extends 'common_group.cpp' %}
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
        {% for p in populations %}
        if ({{array('diverged')}}[0] == 0 && (ns::beyond({{array('x_' + p.name)}}, {{p.n * K}}, _bound) || ns::beyond({{array('lam_' + p.name)}}, {{p.n * K}}, _bound)))
            {{array('diverged')}}[0] = {{loop.index}};
        {% endfor %}
    }
    if (_last || {{array('diverged')}}[0] || {{array('settled')}}[0]) Network::_globally_stopped = true;
{% endblock %}
