{# Start of a step with user-supplied objects: seed Brian2's random numbers by the seed and the
   step's number, as `draws.step_seed` does. #}
{% extends 'common_group.cpp' %}
{% block extra_headers %}
{% include 'head.cpp' %}
{% endblock %}
{% block maincode %}
    const uint64_t _done = {{array('steps_before')}}[0] + {{array('step')}}[0] - {{array('origin')}}[0];
    uint64_t _z = (uint64_t){{array('noise_key')}}[0] + (_done + 1) * 0x9E3779B97F4A7C15ull;
    _z = (_z ^ (_z >> 30)) * 0xBF58476D1CE4E5B9ull;
    _z = (_z ^ (_z >> 27)) * 0x94D049BB133111EBull;
    brian::_random_generators[0].seed((unsigned long)((_z ^ (_z >> 31)) >> 33));
{% endblock %}
