{# One step of Adam of everything, by the messages of this step; weights see the change summed over the batch. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% for name, beta in decays.items() %}
    {{array(name)}}[0] *= {{beta}};
    {% endfor %}
    if ({{array('plastic')}}[0]) {
        ns::flag<0>() = 1;
        {% for q in projections %}
        {{_parts.outer(q, array('force_w_' + q.name), 0, 1)}}
        {% if q.kept %}ns::flag<{{q.id}}>() = 1;{% endif %}
        {% endfor %}
        {% for p in populations %}
        std::memset({{array('force_w_' + p.bias)}}, 0, {{p.n}} * sizeof({{real}}));
        ns::outer_bias<{{K}}, {{p.n}}, {{real}}>({{array('force_w_' + p.bias)}}, {{array(p.taught_by)}}, 1, 1);
        {% endfor %}
        {{_parts.passes('weights')}}
        {% for q in projections %}
        {
            {{_parts.rates(q)}}
            {{_parts.proximal(q, '_rate')}}
            {% if q.carried == 'sign' %}
            {{_parts.follow_signs(q)}}
            {% endif %}
        }
        {% endfor %}
    }
    {{_parts.passes('update')}}
{% endblock %}
