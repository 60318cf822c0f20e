{# One Adam step of weights, outputs and multipliers, by the messages of this step. The force on a
   weight is summed over the batch, not averaged. #}
{# ALLOWS_SCALAR_WRITE #}
{% extends 'common_group.cpp' %}
{% import 'parts.cpp' as _parts with context %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    {% for name, memory in decays.items() %}
    {{array(name)}}[0] *= {{memory}};
    {% endfor %}
    if ({{array('plastic')}}[0]) {
        ns::flag<0>() = 1;
        {% for q in projections %}
        {{_parts.outer(q, array('force_w_' + q.name), 0, 1)}}
        {% if q.keeps_product %}ns::flag<{{q.id}}>() = 1;{% endif %}
        {% endfor %}
        {% for p in populations %}
        {% set force = array('force_w_' + p.bias) %}
        std::memset({{force}}, 0, {{p.n_biases}} * sizeof({{real}}));
        ns::outer_bias<{{K * p.n // p.n_biases}}, {{p.n_biases}}, {{real}}>({{force}}, {{array(p.plasticity_delta)}}, 1, 1);
        {% endfor %}
        {{_parts.all_statements('weights')}}
        {% for q in projections %}
        {
            {{_parts.learning_rate(q)}}
            {{_parts.proximal(q, '_rate')}}
            {{_parts.follow_signs(q)}}
        }
        {% endfor %}
    }
    {{_parts.all_statements('update')}}
{% endblock %}
