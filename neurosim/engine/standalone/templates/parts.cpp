{# What a step is made of; `array` gives the C++ name of a variable's array. Start at `messages`. #}
{% macro pass(block, n) %}
    {   // {{block}}
        const size_t _vectorisation_idx = -1;
        {{scalar_code[block]|autoindent}}
        {% if vector_code[block] %}
        _Pragma("GCC ivdep")
        for (int _idx = 0; _idx < {{n}}; _idx++) {
            const size_t _vectorisation_idx = _idx;
            {{vector_code[block]|autoindent}}
        }
        {% endif %}
    }
{% endmacro %}

{% macro passes(prefix) %}
    {% for b in blocks if b.kind == prefix %}
    {{pass(b.name, b.n)}}
    {% endfor %}
{% endmacro %}

{# Net inputs and what follows from them. While weights and inputs rest, so does all that a clamped input drives; and
   where messages are events, all that has heard none. #}
{% macro forward() %}
    {% for q in projections if q.kept and not q.alone %}
    if (ns::flag<{{q.id}}>() && !{{passing(q)}}) {
        {{real}}* _drive = ns::buffer<{{real}}, {{q.id}}, {{K * q.m}}>();
        std::memset(_drive, 0, {{K * q.m}} * sizeof({{real}}));
        {{known(q, '_drive')}}
    }
    {% endfor %}
    {% for p in populations %}
    {% if p.rests %}if (ns::flag<0>(){% for q in projections if q.post == p.name and q.events %} || {{held(q)}}.received(){% endfor %}) { {% endif %}
    {% for q in projections if q.post == p.name and q.kept %}
    if (ns::flag<{{q.id}}>()) {
        {% if loop.first %}{{start(p)}}{% endif %}
        {% if q.alone %}
        {{known(q, array('a_' + p.name))}}
        {% else %}
        {{product('forward', q, array('x_' + q.pre), array('a_' + p.name))}}
        {% endif %}
    } else {
        {% if q.alone %}
        {{learnt(q)}}
        {% elif loop.first %}
        {{each_set()}} ns::start<{{K // sets}}, {{p.n}}>({{array('b_' + p.name)}}{{of_set(p.n)}}, ns::buffer<{{real}}, {{q.id}}, {{K * q.m}}>(){{of_set(K // sets * q.m)}}, {{array('a_' + p.name)}}{{of_set(K // sets * p.n)}});
        {% else %}
        ns::blend<{{real}}>({{K * q.m}}, 1, 1, ns::buffer<{{real}}, {{q.id}}, {{K * q.m}}>(), {{array('a_' + p.name)}});
        {% endif %}
    }
    {% else %}
    {{start(p)}}
    {% endfor %}
    {% for q in projections if q.post == p.name and not q.kept %}
    {% if q.events %}
    {
        auto& _held = {{held(q)}};
        if (_held.forward.stale) {
            std::fill(_held.forward.sum.begin(), _held.forward.sum.end(), 0);
            if (ns::largest({{array(q.x)}}, {{K * q.n}}) > 0) { {{product('forward', q, array(q.x), '_held.forward.sum.data()')}} }
            _held.forward.known({{array(q.x)}});
        }
        _held.forward.read({{array('a_' + q.post)}}, _held.moved);
    }
    {% else %}
    {{product('forward', q, array(q.x), array('a_' + q.post))}}
    {% endif %}
    {% endfor %}
    {% for b in blocks if b.kind == 'early' and b.population == p.name %}
    {{pass(b.name, b.n)}}
    {% endfor %}
    {% if p.rests %} } {% endif %}
    {% endfor %}
    ns::flag<0>() = 0;
    {{normalise()}}
{% endmacro %}

{# The softmax's normaliser where a loss reads it. #}
{% macro normalise() %}
    {% for p in populations if p.partition %}
    ns::log_partition<{{K}}, {{p.n}}>({{array('x_' + p.name)}}, {{array('log_partition_' + p.name)}});
    {% endfor %}
    {% for p in populations if p.total %}
    ns::total<{{K}}, {{p.n}}>({{array('y_' + p.name)}}, {{array('y_total_' + p.name)}});
    {% endfor %}
{% endmacro %}

{# Where patterns have weights of their own: once for every set of weights. #}
{% macro each_set() %}{% if sets > 1 %}for (size_t _s = 0; _s < {{sets}}; _s++){% endif %}{% endmacro %}
{% macro of_set(size) %}{% if sets > 1 %} + _s * {{size}}{% endif %}{% endmacro %}

{# a = b of every pattern. #}
{% macro start(p) %}{{each_set()}} ns::start<{{K // sets}}, {{p.n}}>({{array('b_' + p.name)}}{{of_set(p.n)}}, {{array('a_' + p.name)}}{{of_set(K // sets * p.n)}});{% endmacro %}

{# What a clamped input sends, added to `result`, and all from which its next value follows. #}
{% macro known(q, result) %}
        {% if q.lazy and K > 1 %}
        if ({{array('lazy_' + q.name)}}[0]) ns::forward_by_strips<{{K}}, {{q.m}}, {{q.n}}>({{array('w_' + q.name)}}, {{array('x_' + q.pre)}}, {{result}});
        else
        {% endif %}
        { {{product('forward', q, array('x_' + q.pre), result)}} }
        {% if q.lazy %}
        if ({{array('lazy_' + q.name)}}[0]) {
            ns::gram<{{K}}, {{q.n}}>({{array('x_' + q.pre)}}, {{gram(q)}});
            {% if q.alone %}std::memcpy({{biases_then(q)}}, {{array('b_' + q.post)}}, {{q.m}} * sizeof({{real}}));{% endif %}
        }
        {% endif %}
        ns::flag<{{q.id}}>() = 0;
{% endmacro %}

{# Net inputs that one clamped input alone drives: what the last step of weights and biases made of them. #}
{% macro learnt(q) %}
        {% if q.lazy %}
        {{rates(q)}}
        ns::learn_drive<{{K}}, {{q.m}}>({{gram(q)}}, {{array(q.plasticity_delta)}}, _keep, _rate / {{K}}, {{array('a_' + q.post)}});
        ns::shift<{{K}}, {{q.m}}>({{array('b_' + q.post)}}, _keep, {{biases_then(q)}}, {{array('a_' + q.post)}});
        {% endif %}
{% endmacro %}
{% macro biases_then(q) %}ns::buffer<{{real}}, {{q.id}}, {{q.m}}>(){% endmacro %}

{# Of an input's patterns, see ns_kernels.h. #}
{% macro gram(q) %}ns::buffer<{{real}}, {{q.id + 1}}, ns::gram_size({{K}})>(){% endmacro %}

{# Whether the product of a clamped input is another at the next step, so that nothing is gained by keeping it. #}
{% macro passing(q) %}({{array('plastic')}}[0]{% if q.lazy %} && !{{array('lazy_' + q.name)}}[0]{% endif %}){% endmacro %}

{% macro product(kind, q, given, result) %}
    {% set matrix = array('w_' + q.name if kind == 'forward' else q.carrier) %}
    {% if q.waits %}
    {{waiting(q)}}.forward({{matrix}}, {{given}}, {{result}});
    {% elif q.sparse %}
    ns::{{kind}}_rows<{{K}}, {{q.m}}, {{q.n}}>({{matrix}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{given}}, {{result}});
    {% else %}
    {% set from_to = (q.n, q.m) if kind == 'forward' else (q.m, q.n) %}
    {{each_set()}} ns::{{kind}}<{{K // sets}}, {{q.m}}, {{q.n}}{{', ' + ('true' if q.adds else 'false') if kind == 'backward' else ''}}>({{matrix}}{{of_set(q.m * q.n)}}, {{given}}{{of_set(K // sets * from_to[0])}}, {{result}}{{of_set(K // sets * from_to[1])}});
    {% endif %}
{% endmacro %}

{# Changes of the weights that wait to be added together. #}
{% macro waiting(q) %}ns::waiting<{{q.id}}, ns::Waiting<{{real}}, {{q.m}}, {{q.n}}, {{waits_for}}>>(){% endmacro %}

{# What neurons have to say, where that is not just their x. #}
{% macro say() %}
    {% if looks_ahead %}{{normalise()}}{% endif %}
    {{passes('sent')}}
    {{travel('x')}}
{% endmacro %}

{# Messages that arrive later. #}
{% macro travel(variable) %}
    {% for d in lines if d.variable == variable %}
    ns::travel<{{real}}, {{d.n}}, {{d.steps}}>({{array('line_' + d.of)}}, {{array('line_at_' + d.of)}}[0], {{array('sent_' + d.of)}}, {{array('received_' + d.of)}});
    {% endfor %}
{% endmacro %}

{# What multiplier units have to say. #}
{% macro late() %}
    {% for b in blocks if b.kind == 'late' %}
    {% if b.optional %}if ({{array('plastic')}}[0]) {% endif %}{{pass(b.name, b.n)}}
    {% endfor %}
    {{travel('delta')}}
{% endmacro %}

{# What a projection keeps of the events that it heard. #}
{% macro held(q) %}ns::held<{{q.id}}, ns::Held<{{real}}, {{K}}, {{q.m}}, {{q.n}}, {{q.exact}}, {{q.back}}{{', true' if q.carried != 'symmetric' else ''}}>>(){% endmacro %}

{# Events of all populations in one direction. #}
{% macro hear(variable) %}
    {% for q in projections if q.exact == 'true' %}
    {% if variable == 'x' %}
    {{held(q)}}.gate_forward({{array('plastic')}}[0], {{array(q.x)}});
    {% else %}
    {{held(q)}}.gate_backward({{array('plastic')}}[0], {{array(q.delta)}}, {{array(q.carrier)}});
    {% endif %}
    {% endfor %}
    {% for o in outlets if o.variable == variable %}
    {
        const auto _new = ns::speak<{{real}}, {{o.n}}>({{array(o.space)}}, {{array(o.now)}}, {{array(o.sent)}}, {{array(o.events)}}, {{array(o.plastic_events)}}, {{array('plastic')}}[0], {{array(o.quantum) + '[0]' if o.quantum else 0}});
        {% if o.ready %}
        for (int _e = 0; _e < _new.count; _e++) {{array(o.ready)}}[_new.unit[_e]] = {{array('t')}}[0] + {{array(o.silence)}}[0];
        {% endif %}
        {% if o.line %}
        const auto _arrived = ns::arrive<{{real}}, {{o.n}}, {{o.delay_steps}}>({{array(o.line)}}, {{array(o.line_at)}}[0], {{array(o.sent)}}, {{array(o.received)}});
        {% else %}
        const auto& _arrived = _new;
        {% endif %}
        {% for q in projections if q.name in o.projections %}
        {% if q.sparse %}
        if (_arrived.count) {{held(q)}}.{{'forward' if variable == 'x' else 'backward'}}.stale = true;
        {% elif variable == 'x' %}
        {{held(q)}}.hear_forward({{array('w_' + q.name)}}, _arrived);
        {% else %}
        {{held(q)}}.hear_backward({{array(q.carrier)}}, _arrived);
        {% endif %}
        {% endfor %}
    }
    {% endfor %}
{% endmacro %}

{# Weights that moved by their integrals, every so often. #}
{% macro refold() %}
    if ({{array('ticks')}}[0] % {{refold_every}} == 0) {
        {% for q in projections if q.events %}
        {{held(q)}}.fold({{array('w_' + q.name)}}, {{array(q.x)}}, {{array(q.delta)}});
        {% endfor %}
    }
{% endmacro %}

{# Messages sent back. One pattern: a weight moves in the pass that reads it. #}
{% macro feedback(learns) %}
    {% for p in populations if p.gathers %}
    std::memset({{array('feedback_' + p.name)}}, 0, {{p.n * K}} * sizeof({{real}}));
    {% endfor %}
    {% for q in projections if q.feeds_back %}
    {% if q.events %}
    {
        auto& _held = {{held(q)}};
        if (_held.backward.stale) {
            std::fill(_held.backward.sum.begin(), _held.backward.sum.end(), 0);
            if (ns::largest({{array(q.delta)}}, {{K * q.m}}) > 0) { {{product('backward', q, array(q.delta), '_held.backward.sum.data()')}} }
            _held.backward.known({{array(q.delta)}});
        }
        _held.backward.read({{array('feedback_' + q.pre)}}, _held.moved);
    }
    {% else %}
    {% if learns and q.merged %}
    if ({{array('plastic')}}[0]) {
        {{rates(q)}}
        ns::backward_and_learn<{{q.m}}, {{q.n}}, {{'true' if q.adds else 'false'}}>({{array('w_' + q.name)}}, {{array(q.delta)}}, {{array(q.x)}}, {{array('feedback_' + q.pre)}}, _keep, _rate);
        {{proximal(q, '_rate')}}
    } else
    {% endif %}
    { {{product('backward', q, array(q.delta), array('feedback_' + q.pre))}} }
    {% endif %}
    {% endfor %}
{% endmacro %}

{% macro messages(learns=false) %}
    {{say()}}
    {{forward()}}
    {{late()}}
    {{feedback(learns)}}
{% endmacro %}

{% macro rates(q) %}
        const {{real}} _rate = {{array('step_length')}}[0] / {{array('tau_w_' + q.name)}}[0];
        const {{real}} _keep = 1 - _rate * {{array('l2_' + q.name)}}[0];
{% endmacro %}

{# What follows a step of the weights: prices with a kink at 0, weight by weight, then neuron by neuron, rows, then
   columns; then Dale's law. #}
{% macro proximal(q, rate) %}
    ns::shrink<{{real}}>({{q.size}}, {{array('w_' + q.name)}}, {{rate}} * {{array('l1_' + q.name)}}[0]);
    {% for side, price in (('rows', 'row_l1_'), ('columns', 'column_l1_')) %}
    {% if q.sparse %}
    ns::shrink_sparse_{{side}}<{{q.m}}, {{q.n}}, {{real}}>({{array('w_' + q.name)}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{rate}} * {{array(price + q.name)}}[0]);
    {% else %}
    ns::shrink_{{side}}<{{q.m}}, {{q.n}}, {{real}}>({{array('w_' + q.name)}}, {{rate}} * {{array(price + q.name)}}[0]);
    {% endif %}
    {% endfor %}
    {% if dale and q.sparse %}
    ns::keep_sign_sparse<{{q.m}}, {{real}}>({{array('w_' + q.name)}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{array('sign_' + q.name)}});
    {% elif dale %}
    ns::keep_sign<{{q.m}}, {{q.n}}, {{real}}>({{array('w_' + q.name)}}, {{array('sign_' + q.name)}});
    {% endif %}
{% endmacro %}

{# The step of feedback weights of their own that goes with that of the weights. #}
{% macro follow(q) %}
    {% if q.carried == 'kolen_pollack' %}
    {{outer(q, array(q.carrier), '_keep', '_rate / ' ~ K)}}
    {% endif %}
    {{follow_signs(q)}}
{% endmacro %}
{% macro follow_signs(q) %}
    {% if q.carried == 'sign' %}
    ns::signs<{{real}}>({{q.size}}, {{array('w_' + q.name)}}, {{array('back_size_' + q.name)}}[0], {{array(q.carrier)}});
    {% endif %}
{% endmacro %}

{# Where plastic, one Euler step of every weight and bias by the messages of this step. #}
{% macro learn() %}
    if ({{array('plastic')}}[0]) {
        ns::flag<0>() = 1;
        {% for q in projections if not q.merged %}
        {
        {{rates(q)}}
        {% if q.lazy %}
        if ({{array('lazy_' + q.name)}}[0]) {
            ns::blend<{{real}}>({{K * q.m}}, _keep, 1, {{array(q.plasticity_delta)}}, ns::buffer<{{real}}, {{q.id + 2}}, {{K * q.m}}>());
            {% if not q.alone %}
            ns::learn_drive<{{K}}, {{q.m}}>({{gram(q)}}, {{array(q.plasticity_delta)}}, _keep, _rate / {{K}}, ns::buffer<{{real}}, {{q.id}}, {{K * q.m}}>());
            {% endif %}
            ns::scale<{{q.id}}>() *= _keep;
            ns::flag<{{q.id + 1}}>() = 0;
        } else
        {% endif %}
        {% if q.exact == 'true' or q.waits %}
        if (_keep == 1 && {{array('l1_' + q.name)}}[0] + {{array('row_l1_' + q.name)}}[0] + {{array('column_l1_' + q.name)}}[0] == 0) {
            {% if q.waits %}
            {{waiting(q)}}.learn({{array('w_' + q.name)}}, {{array(q.plasticity_delta)}}, {{array(q.plasticity_x)}}, _rate);
            {% if q.kept %}ns::flag<{{q.id}}>() = 1;{% endif %}
            {% else %}
            {{held(q)}}.learn({{array('w_' + q.name)}}, {{array(q.x)}}, {{array(q.delta)}}, _rate);
            {% endif %}
        } else
        {% endif %}
        {
            {{outer(q, array('w_' + q.name), '_keep', '_rate / ' ~ K)}}
            {{proximal(q, '_rate')}}
            {% if q.carried in ('sign', 'kolen_pollack') %}
            {{follow(q)}}
            {% endif %}
            {% if q.kept %}ns::flag<{{q.id}}>() = 1;{% endif %}
            {% if q.events %}{{held(q)}}.stale();{% endif %}
        }
        }
        {% endfor %}
        {% for p in populations %}
        ns::outer_bias<{{K}}, {{p.n}}, {{real}}>({{array('b_' + p.name)}}, {{array(p.plasticity_by)}}, 1, {{array('step_length')}}[0] / {{array('tau_w_' + p.bias)}}[0] / {{K}});
        {% endfor %}
    }
{% endmacro %}

{% macro outer(q, result, keep, rate) %}
    {% if q.sparse %}
    ns::outer_rows<{{K}}, {{q.m}}, {{q.n}}, {{real}}>({{result}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{array(q.plasticity_delta)}}, {{array(q.plasticity_x)}}, {{keep}}, {{rate}});
    {% else %}
    ns::outer<{{K}}, {{q.m}}, {{q.n}}, {{real}}>({{result}}, {{array(q.plasticity_delta)}}, {{array(q.plasticity_x)}}, {{keep}}, {{rate}});
    {% endif %}
{% endmacro %}

{# Weights whose change was only accumulated, brought up to date. #}
{% macro materialize(folds=false) %}
    {% for q in projections if q.lazy %}
    if (!ns::flag<{{q.id + 1}}>()) {
        {{real}}* _sum = ns::buffer<{{real}}, {{q.id + 2}}, {{K * q.m}}>();
        const {{real}} _rate = {{array('step_length')}}[0] / {{array('tau_w_' + q.name)}}[0] / {{K}};
        ns::outer<{{K}}, {{q.m}}, {{q.n}}, {{real}}>({{array('w_' + q.name)}}, _sum, {{array('x_' + q.pre)}}, ns::scale<{{q.id}}>(), _rate);
        std::memset(_sum, 0, {{K * q.m}} * sizeof({{real}}));
        ns::scale<{{q.id}}>() = 1;
        ns::flag<{{q.id + 1}}>() = 1;
    }
    {% endfor %}
    {% if folds %}
    {% for q in projections if q.waits %}
    {{waiting(q)}}.fold({{array('w_' + q.name)}});
    {% endfor %}
    {% for q in projections if q.exact == 'true' %}
    {{held(q)}}.fold({{array('w_' + q.name)}}, {{array(q.x)}}, {{array(q.delta)}});
    {% endfor %}
    {% endif %}
{% endmacro %}

{# The right-hand sides of every state variable, of the state as it stands. #}
{% macro derivatives() %}
    {{passes('rates')}}
    {{array('evaluations')}}[0] += 1;
{% endmacro %}

{# Points simulated side by side whose rates of change are those of a settled state end; `_over` says whether all have. #}
{% macro look() %}
    std::fill({{array('residuals')}}, {{array('residuals')}} + {{points}}, 0.0);
    {% for p in populations %}
    {% for v in ('x', 'lam') %}
    ns::residuals<{{points}}, {{p.n * K // points}}>({{array('rate_' + v + '_' + p.name)}}, {{array('tau_' + v + '_' + p.name)}}, {{array('residuals')}});
    {% endfor %}
    {% endfor %}
    const bool _news = ns::settle<{{points}}>({{array('residuals')}}, {{array('settle')}}[0], {{array('step')}}[0], {{array('ending')}}, {{array('ended_at')}});
    {{rest()}}
    const bool _over = ns::all_ended<{{points}}>({{array('ending')}});
{% endmacro %}

{# Points that have ended rest. #}
{% macro rest() %}
    if (_news) {
        {% for p in populations %}
        {% for gain in ('kappa', 'gamma') %}
        ns::rest<{{points}}, {{p.n * K // points}}>({{array('ending')}}, {{array(gain + '_' + p.name)}});
        {% endfor %}
        {% endfor %}
    }
{% endmacro %}

{# max |tau dz/dt| over outputs and multipliers. #}
{% macro residual() %}
    double _residual = 0;
    {% for p in populations if not p.free %}
    {% for v in ('x', 'lam') %}
    {% if own_times %}
    _residual = std::max(_residual, ns::largest({{array('rate_' + v + '_' + p.name)}}, {{array('tau_' + v + '_' + p.name)}}, {{p.n * K}}));
    {% else %}
    _residual = std::max(_residual, ns::largest({{array('rate_' + v + '_' + p.name)}}, {{p.n * K}}) * {{array('tau_' + v + '_' + p.name)}}[0]);
    {% endif %}
    {% endfor %}
    {% endfor %}
    {{array('residual')}}[0] = _residual;
{% endmacro %}
