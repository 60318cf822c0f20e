{# Parts of a step, as macros that the other templates call. A template reads the fields of
   `ProgramCode` (code.py) and `array(name)`, the C++ array of a variable. Start at `messages`. #}

{# --- Statements that Brian2 has translated ------------------------------------------------- #}

{# One block, for each of its entries. #}
{% macro statements(b) %}
    {   // {{b.name}}
        const size_t _vectorisation_idx = -1;
        {{scalar_code[b.name]|autoindent}}
        {% if vector_code[b.name] %}
        {% if parallel and b.n >= parallel %}
        _Pragma("omp parallel for simd schedule(static)")
        {% else %}
        _Pragma("GCC ivdep")
        {% endif %}
        for (int _idx = 0; _idx < {{entries(b)}}; _idx++) {
            const size_t _vectorisation_idx = _idx;
            {{vector_code[b.name]|autoindent}}
        }
        {% endif %}
    }
{% endmacro %}

{# The entries that a block takes. Patterns that have settled leave all blocks but those of samples. #}
{% macro entries(b) %}
{% if settles_each and b.kind != 'copies' %}(int){{array('active')}}[0] * {{b.n // K}}{% else %}{{b.n}}{% endif %}
{%- endmacro %}

{# The entries of the patterns that a step takes, with so many units each. #}
{% macro entries_of(n) %}
{% if settles_each %}{{array('active')}}[0] * {{n}}{% else %}{{n * K}}{% endif %}
{%- endmacro %}

{# A last argument of kernels: the patterns that they take, if not all. #}
{% macro rows() %}{% if settles_each %}, (int){{array('active')}}[0]{% endif %}{% endmacro %}

{# All blocks of one kind. #}
{% macro all_statements(kind) %}
    {% for b in blocks if b.kind == kind %}
    {{statements(b)}}
    {% endfor %}
{% endmacro %}

{# All blocks of one kind and one population. #}
{% macro statements_of(kind, p) %}
    {% for b in blocks if b.kind == kind and b.owner == p.name %}
    {{statements(b)}}
    {% endfor %}
{% endmacro %}

{# --- What has changed ---------------------------------------------------------------------- #}

{# A condition: the sources of a value have changed, and the value is read. Where nothing is tracked,
   always true. See ns_versions.h and liveness.py. #}
{% macro due(p, value, sources, moved=false) %}
{% set v = 'ns::versions<' ~ p.number ~ '>()' %}
{% set from = array(value ~ '_from') ~ '[' ~ (p.number - 1) ~ ']' %}
{% if moved %}
ns::presentation().moves({{from}}, {{array('live_until')}}[0])
{%- else %}
ns::presentation().sends({{from}})
{%- endif %} && ns::renew({{v}}.{{value}}_of, {{sources}}, {{v}}.{{value}})
{%- endmacro %}

{# Sums of the versions that the messages and the states of a population follow from. #}
{% macro sources_of_net_input(p) %}
ns::weights_version() + ns::data_version()
{%- for q in projections if q.post == p.name and q.pre_number %} + ns::versions<{{q.pre_number}}>().x{% endfor %}
{%- endmacro %}
{% macro sources_of_feedback(p) %}
ns::weights_version()
{%- for q in projections if q.pre == p.name %} + ns::versions<{{q.post_number}}>().delta{% endfor %}
{%- endmacro %}
{% macro sources_of_state(p) %}
{% set v = 'ns::versions<' ~ p.number ~ '>()' %}
ns::data_version() + {{v}}.a + {{v}}.feedback + {{v}}.x
{%- endmacro %}

{# --- Noise --------------------------------------------------------------------------------- #}

{# The random numbers of this step, into the arrays that statements read. #}
{% macro draw() %}
    {% if noise %}
    {
        double* _numbers = ns::buffer<double, 1, {{2 * noise.pairs + noise.uniforms}}>();
        ns::draw<{{noise.pairs}}, {{noise.uniforms}}>(
            {{array('noise_key')}}[0],
            {{array('steps_before')}}[0] + {{array('step')}}[0] - {{array('origin')}}[0],
            ns::buffer<uint64_t, 2, {{4 * noise.blocks}}>(), _numbers);
        {% for d in noise.draws %}
        for (size_t i = 0; i < {{d.n}}; i++) {{array(d.variable)}}[i] = _numbers[{{d.first}} + i];
        {% endfor %}
    }
    {% endif %}
{% endmacro %}

{# --- Messages ------------------------------------------------------------------------------ #}

{# All messages of a step, dense, in order: x, net inputs, delta, feedback. #}
{% macro messages(learns=false) %}
    {{sent_x()}}
    {{net_inputs()}}
    {{late_messages()}}
    {{feedback(learns)}}
    {{all_statements('weighted')}}
{% endmacro %}

{# Messages forward that are not just x. #}
{% macro sent_x() %}
    {% if prospective %}{{normalisers()}}{% endif %}
    {{all_statements('sent')}}
    {{delayed('x')}}
{% endmacro %}

{# Messages backward, computed by multiplier units. #}
{% macro late_messages() %}
    {% for p in populations if tracks %}
    {% for b in blocks if b.kind == 'late' and b.owner == p.name %}
    {% set v = 'ns::versions<' ~ p.number ~ '>()' %}
    if ({% if b.only_plastic %}{{array('plastic')}}[0] && {% endif %}
            {{due(p, 'delta', v ~ '.a + ' ~ v ~ '.x + ' ~ v ~ '.lam')}})
        {{statements(b)}}
    {% endfor %}
    {% endfor %}
    {% for b in blocks if b.kind == 'late' and not tracks %}
    {% if b.only_plastic %}if ({{array('plastic')}}[0]) {% endif %}{{statements(b)}}
    {% endfor %}
    {{delayed('delta')}}
{% endmacro %}

{# Dense messages that arrive some steps later. #}
{% macro delayed(variable) %}
    {% for d in delay_lines if d.variable == variable %}
    ns::travel<{{real}}, {{d.n}}, {{d.steps}}>(
        {{array('line_' + d.name)}}, {{array('line_at_' + d.name)}}[0],
        {{array('sent_' + d.name)}}, {{array('received_' + d.name)}});
    {% endfor %}
{% endmacro %}

{# Net inputs, early messages, and the sums that losses read. Skipped for populations whose net
   input is unchanged: neither weights nor inputs have moved, and no event has arrived. `again`: once
   more within a step, for the multipliers. #}
{% macro net_inputs(again=false) %}
    {{kept_drives()}}
    {{inputs_of(populations, again)}}
    {{normalisers()}}
{% endmacro %}

{# The kept products that do not make a net input alone. #}
{% macro kept_drives() %}
    {% for q in projections if q.keeps_product and not q.drives_alone %}
    if (ns::flag<{{q.id}}>() && !{{product_is_transient(q)}}) {
        {{real}}* _drive = {{kept_drive(q)}};
        std::memset(_drive, 0, {{K * q.m}} * sizeof({{real}}));
        {{fresh_product(q, '_drive')}}
    }
    {% endfor %}
{% endmacro %}

{# The net inputs and the early messages of some populations. #}
{% macro inputs_of(chosen, again) %}
    {% for p in chosen %}
    {% if tracks %}
    if ({{due(p, 'a', sources_of_net_input(p), again)}}) {
    {% elif p.may_rest %}
    if (ns::flag<0>(){{events_have_changed(p)}}) {
    {% endif %}
    {% for q in projections if q.post == p.name and q.keeps_product %}
    {{kept_product(p, q, loop.first)}}
    {% else %}
    {{biases(p)}}
    {% endfor %}
    {% for q in projections if q.post == p.name and not q.keeps_product %}
    {% if q.events %}
    {{summed_events_forward(q)}}
    {% else %}
    {{product('forward', q, array(q.received_x), array('a_' + q.post))}}
    {% endif %}
    {% endfor %}
    {{statements_of('early', p)}}
    {% if tracks or p.may_rest %}
    }
    {% endif %}
    {% endfor %}
    ns::flag<0>() = 0;
{% endmacro %}

{# Sums of messages sent back. With one pattern, weights may move in the pass that reads them. #}
{% macro feedback(learns) %}
    {% for p in populations if tracks %}
    const bool _due_{{p.number}} = {{due(p, 'feedback', sources_of_feedback(p), true)}};
    {% endfor %}
    {% for p in populations if p.clears_feedback %}
    {% if tracks %}if (_due_{{p.number}}) {% endif %}
    std::memset({{array('feedback_' + p.name)}}, 0,
                {{entries_of(p.n)}} * sizeof({{real}}));
    {% endfor %}
    {% for q in projections if q.sends_back %}
    {% if q.events %}
    {{summed_events_backward(q)}}
    {% else %}
    {% if learns and q.learns_on_way_back %}
    if ({{array('plastic')}}[0]) {
        {{learning_rate(q)}}
        ns::backward_and_learn<{{q.m}}, {{q.n}}, {{q.adds_feedback | lower}}>(
            {{array('w_' + q.name)}}, {{array(q.received_delta)}}, {{array(q.received_x)}},
            {{array('feedback_' + q.pre)}}, _keep, {{rate_of_the_pattern(q)}});
        {{proximal(q, '_rate')}}
    } else
    {% endif %}
    {% if tracks %}if (_due_{{q.pre_number}}) {% endif %}{
        {{product('backward', q, array(q.received_delta), array('feedback_' + q.pre))}}
    }
    {% endif %}
    {% endfor %}
{% endmacro %}

{# Sums over the units of a pattern, where a loss reads them. #}
{% macro normalisers() %}
    {% for p in populations if p.has_partition %}
    ns::log_partition<{{K * p.n // p.features}}, {{p.features}}>(
        {{array('x_' + p.name)}}, {{array('log_partition_' + p.name)}}{{rows()}});
    {% endfor %}
    {% for p in populations if p.has_target_total %}
    ns::total<{{K * p.n // p.features}}, {{p.features}}>({{array('y_' + p.name)}}, {{array('y_total_' + p.name)}}{{rows()}});
    {% endfor %}
{% endmacro %}

{# --- Products ------------------------------------------------------------------------------ #}

{# A loop over the sets of weights if there are several, and an offset within it. #}
{% macro each_set() %}
{% if weight_sets > 1 %}for (size_t _s = 0; _s < {{weight_sets}}; _s++){% endif %}
{% endmacro %}
{% macro of_set(size) %}{% if weight_sets > 1 %} + _s * {{size}}{% endif %}{% endmacro %}

{# a = b of every pattern, or of every site where sites share the biases. #}
{% macro biases(p) %}
    {% set patterns = K // weight_sets %}
    {{each_set()}} ns::spread_biases<{{patterns * p.n // p.n_biases}}, {{p.n_biases}}>(
        {{array('b_' + p.name)}}{{of_set(p.n_biases)}},
        {{array('a_' + p.name)}}{{of_set(patterns * p.n)}}{{rows()}});
{% endmacro %}

{# The fixed entries of shared weights, see ns_shared.h. #}
{% macro table(group, name) %}
ns::Table<{{real}}>{
            {{array(name + '_row_' + group)}}, {{array(name + '_col_' + group)}},
            {{array(name + '_value_' + group)}}}
{%- endmacro %}

{# Adds W x ('forward') or delta W ('backward') of `given` to `result`. #}
{% macro product(direction, q, given, result) %}
    {% if direction == 'forward' %}
    {% set matrix, read, written = array('w_' + q.name), q.n, q.m %}
    {% else %}
    {% set matrix, read, written = array(q.feedback_weights), q.m, q.n %}
    {% endif %}
    {% if q.collects_changes %}
    {{collected_changes(q)}}.forward({{matrix}}, {{given}}, {{result}});
    {% elif q.shared %}
    {% set s, to = q.shared, 'ahead' if direction == 'forward' else 'back' %}
    {% set read, written = s.pre_sites, s.post_sites %}
    {% if direction == 'backward' %}{% set read, written = written, read %}{% endif %}
    ns::shared_product<{{K}}, {{read}}, {{written}}, {{s.terms}}, {{s.post}}, {{s.pre}},
        {{(direction == 'backward') | lower}}, {{s[to].first | lower}}, {{s[to].block}}, {{real}}>(
        {{matrix}}, {{table(q.name, 'ahead' if direction == 'forward' else 'back_again')}}, {{given}},
        {{result}});
    {% elif q.sparse %}
    ns::{{direction}}_rows<{{K}}, {{q.m}}, {{q.n}}>(
        {{matrix}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{given}}, {{result}}{{rows()}});
    {% else %}
    {% set patterns = K // weight_sets %}
    {% set adds = ', ' ~ q.adds_feedback | lower if direction == 'backward' else '' %}
    {{each_set()}} ns::{{direction}}<{{patterns}}, {{q.m}}, {{q.n}}{{adds}}>(
        {{matrix}}{{of_set(q.m * q.n)}}, {{given}}{{of_set(patterns * read)}},
        {{result}}{{of_set(patterns * written)}}{{rows()}});
    {% endif %}
{% endmacro %}

{# --- Kept products of clamped inputs -------------------------------------------------------- #}

{# The contribution of one clamped input, the first or a later one, to the net inputs of a
   population. #}
{% macro kept_product(p, q, first) %}
    if (ns::flag<{{q.id}}>()) {
        {% if first %}{{biases(p)}}{% endif %}
        {% if q.drives_alone %}
        {{fresh_product(q, array('a_' + p.name))}}
        {% else %}
        {{product('forward', q, array('x_' + q.pre), array('a_' + p.name))}}
        {% endif %}
    } else {
        {% if q.drives_alone %}
        {{learnt_net_input(q)}}
        {% elif first %}
        {% set patterns = K // weight_sets %}
        {{each_set()}} ns::spread_biases<{{patterns * p.n // p.n_biases}}, {{p.n_biases}}>(
            {{array('b_' + p.name)}}{{of_set(p.n_biases)}}, {{kept_drive(q)}}{{of_set(patterns * q.m)}},
            {{array('a_' + p.name)}}{{of_set(patterns * p.n)}}{{rows()}});
        {% else %}
        ns::blend<{{real}}>({{entries_of(q.m)}}, 1, 1, {{kept_drive(q)}}, {{array('a_' + p.name)}});
        {% endif %}
    }
{% endmacro %}

{# Adds W x of a clamped input to `result`; computes what updates of W x need. #}
{% macro fresh_product(q, result) %}
        {% if q.defers_changes and K > 1 %}
        if ({{array('lazy_' + q.name)}}[0])
            ns::forward_by_strips<{{K}}, {{q.m}}, {{q.n}}>(
                {{array('w_' + q.name)}}, {{array('x_' + q.pre)}}, {{result}});
        else
        {% endif %}
        {
            {{product('forward', q, array('x_' + q.pre), result)}}
        }
        {% if q.defers_changes %}
        if ({{array('lazy_' + q.name)}}[0]) {
            ns::gram<{{K}}, {{q.n}}>({{array('x_' + q.pre)}}, {{gram(q)}});
            {% if q.drives_alone %}
            std::memcpy(
                {{earlier_biases(q)}}, {{array('b_' + q.post)}}, {{q.m}} * sizeof({{real}}));
            {% endif %}
        }
        {% endif %}
        ns::flag<{{q.id}}>() = 0;
{% endmacro %}

{# Net inputs driven by one clamped input alone, updated by the last step of weights and biases. #}
{% macro learnt_net_input(q) %}
        {% if q.defers_changes %}
        {{learning_rate(q)}}
        ns::learn_drive<{{K}}, {{q.m}}>(
            {{gram(q)}}, {{array(q.plasticity_delta)}}, _keep, _rate / {{K}},
            {{array('a_' + q.post)}});
        ns::shift<{{K}}, {{q.m}}>(
            {{array('b_' + q.post)}}, _keep, {{earlier_biases(q)}}, {{array('a_' + q.post)}});
        {% endif %}
{% endmacro %}

{# Whether W x changes at every step, so that keeping it gains nothing. #}
{% macro product_is_transient(q) %}
({{array('plastic')}}[0]{% if q.defers_changes %} && !{{array('lazy_' + q.name)}}[0]{% endif %})
{% endmacro %}

{# Buffers of a projection: W x, or the biases that are part of its net inputs; x x^T of all pairs
   of patterns (see ns_kernels.h); the sum of the messages that its weights do not include yet. #}
{% macro kept_drive(q) %}ns::buffer<{{real}}, {{q.id}}, {{K * q.m}}>(){% endmacro %}
{% macro earlier_biases(q) %}ns::buffer<{{real}}, {{q.id}}, {{q.m}}>(){% endmacro %}
{% macro gram(q) %}ns::buffer<{{real}}, {{q.id + 1}}, ns::gram_size({{K}})>(){% endmacro %}
{% macro deferred_messages(q) %}ns::buffer<{{real}}, {{q.id + 2}}, {{K * q.m}}>(){% endmacro %}

{# Changes of the weights that are collected and added several at a time. #}
{% macro collected_changes(q) %}
ns::collected_changes<{{q.id}}, ns::CollectedChanges<{{real}}, {{q.m}}, {{q.n}}, {{collected}}>>()
{% endmacro %}

{# --- Events -------------------------------------------------------------------------------- #}

{# The products that a projection keeps of the events received. #}
{% macro event_products(q) %}
{% set kind = (q.exact_plasticity, q.sends_back, q.own_feedback) %}
ns::event_products<{{q.id}},
    ns::EventProducts<{{real}}, {{K}}, {{q.m}}, {{q.n}}, {{kind | join(', ') | lower}}>>()
{% endmacro %}

{# Whether one of the projections onto a population has received an event. #}
{% macro events_have_changed(p) %}
{% for q in projections if q.post == p.name and q.events %}
 || {{event_products(q)}}.has_changed()
{% endfor %}
{% endmacro %}

{# Events of all populations in one direction, and the products that they change. #}
{% macro receive_events(variable) %}
    {% for q in projections if q.exact_plasticity %}
    {% if variable == 'x' %}
    {{event_products(q)}}.gate_forward({{array('plastic')}}[0], {{array(q.received_x)}});
    {% else %}
    {{event_products(q)}}.gate_backward(
        {{array('plastic')}}[0], {{array(q.received_delta)}}, {{array(q.feedback_weights)}});
    {% endif %}
    {% endfor %}
    {% for o in event_sources if o.variable == variable %}
    {
        const auto _sent = ns::send<{{real}}, {{o.n}}>(
            {{array(o.sending)}}, {{array(o.now)}}, {{array(o.sent)}}, {{array(o.events)}},
            {{array(o.plastic_events)}}, {{array('plastic')}}[0],
            {% if o.quantum %}{{array(o.quantum)}}[0]{% else %}0{% endif %});
        {% if o.ready %}
        for (int _e = 0; _e < _sent.count; _e++)
            {{array(o.ready)}}[_sent.unit[_e]] = {{array('t')}}[0] + {{array(o.silence)}}[0];
        {% endif %}
        {% if o.line %}
        const auto _arrived = ns::arrive<{{real}}, {{o.n}}, {{o.delay_steps}}>(
            {{array(o.line)}}, {{array(o.line_at)}}[0], {{array(o.sent)}}, {{array(o.received)}});
        {% else %}
        const auto& _arrived = _sent;
        {% endif %}
        {% for q in projections if q.name in o.projections %}
        {% if q.sparse or q.shared %}
        {% set direction = 'forward' if variable == 'x' else 'backward' %}
        if (_arrived.count) {{event_products(q)}}.{{direction}}.stale = true;
        {% elif variable == 'x' %}
        {{event_products(q)}}.receive_forward({{array('w_' + q.name)}}, _arrived);
        {% else %}
        {{event_products(q)}}.receive_backward({{array(q.feedback_weights)}}, _arrived);
        {% endif %}
        {% endfor %}
    }
    {% endfor %}
{% endmacro %}

{# a += W x of the x last sent; a stale product is computed anew, unless all x are 0. #}
{% macro summed_events_forward(q) %}
    {
        auto& _products = {{event_products(q)}};
        if (_products.forward.stale) {
            std::fill(_products.forward.sum.begin(), _products.forward.sum.end(), 0);
            if (ns::largest({{array(q.received_x)}}, {{K * q.n}}) > 0) {
                {{product('forward', q, array(q.received_x), '_products.forward.sum.data()')}}
            }
            _products.forward.refreshed({{array(q.received_x)}});
        }
        _products.forward.add_to({{array('a_' + q.post)}}, _products.moved);
    }
{% endmacro %}

{# feedback += delta W of the delta last sent, in the same way. #}
{% macro summed_events_backward(q) %}
    {
        auto& _products = {{event_products(q)}};
        if (_products.backward.stale) {
            std::fill(_products.backward.sum.begin(), _products.backward.sum.end(), 0);
            if (ns::largest({{array(q.received_delta)}}, {{K * q.m}}) > 0) {
                {{product('backward', q, array(q.received_delta), '_products.backward.sum.data()')}}
            }
            _products.backward.refreshed({{array(q.received_delta)}});
        }
        _products.backward.add_to({{array('feedback_' + q.pre)}}, _products.moved);
    }
{% endmacro %}

{# Every `fold_every` steps, brings weights that move by integrals up to date. #}
{% macro fold_integrals() %}
    if ({{array('step')}}[0] % {{fold_every}} == 0) {
        {% for q in projections if q.events %}
        {{event_products(q)}}.fold(
            {{array('w_' + q.name)}}, {{array(q.received_x)}}, {{array(q.received_delta)}});
        {% endfor %}
    }
{% endmacro %}

{# --- Plasticity ---------------------------------------------------------------------------- #}

{# h / tau_w, and the factor of a weight by the decay l2 in one step. #}
{% macro learning_rate(q) %}
        const {{real}} _rate = {{array('step_length')}}[0] / {{array('tau_w_' + q.name)}}[0];
        const {{real}} _keep = 1 - _rate * {{array('l2_' + q.name)}}[0];
{% endmacro %}

{# h / tau_w, times the weight of the only pattern where patterns have weights. For kernels that read
   messages as received; all others read messages that are weighted already. #}
{% macro rate_of_the_pattern(q) %}
_rate{% if q.sample_weight %} * {{array(q.sample_weight)}}[0]{% endif %}
{% endmacro %}

{# Where plastic, one Euler step of every weight and bias by the messages of this step. #}
{% macro learn() %}
    {{broadcast()}}
    if ({{array('plastic')}}[0]) {
        ns::flag<0>() = 1;
        ns::weights_version()++;
        {% for q in projections if not q.learns_on_way_back %}
        {
        {{learning_rate(q)}}
        {% if q.rule %}
        {% if q.feedback_learns %}
        static {{real}} _before[{{q.size}}];
        std::memcpy(_before, {{array('w_' + q.name)}}, {{q.size}} * sizeof({{real}}));
        {% endif %}
        {{rule_step(q.rule, q.rule.open)}}
        {% if q.feedback_learns %}
        for (int _i = 0; _i < {{q.size}}; _i++)
            {{array(q.feedback_weights)}}[_i] = _keep * {{array(q.feedback_weights)}}[_i]
                + ({{array('w_' + q.name)}}[_i] - _keep * _before[_i]);
        {% endif %}
        {{proximal(q, '_rate')}}
        {{follow_signs(q)}}
        {% if q.keeps_product %}ns::flag<{{q.id}}>() = 1;{% endif %}
        {% if q.events %}{{event_products(q)}}.weights_changed();{% endif %}
        {% else %}
        {% if q.defers_changes %}
        if ({{array('lazy_' + q.name)}}[0]) {
            {{defer_changes(q)}}
        } else
        {% endif %}
        {% if q.exact_plasticity or q.collects_changes %}
        if (_keep == 1 && {{array('l1_' + q.name)}}[0] + {{array('row_l1_' + q.name)}}[0]
                + {{array('column_l1_' + q.name)}}[0] == 0) {
            {% if q.collects_changes %}
            {{collected_changes(q)}}.learn(
                {{array('w_' + q.name)}}, {{array(q.plasticity_delta)}}, {{array(q.plasticity_x)}},
                _rate);
            {% if q.keeps_product %}ns::flag<{{q.id}}>() = 1;{% endif %}
            {% else %}
            {{event_products(q)}}.learn(
                {{array('w_' + q.name)}}, {{array(q.received_x)}}, {{array(q.received_delta)}},
                {{rate_of_the_pattern(q)}});
            {% endif %}
        } else
        {% endif %}
        {
            {{outer(q, array('w_' + q.name), '_keep', '_rate / ' ~ K)}}
            {{proximal(q, '_rate')}}
            {{move_feedback_weights(q)}}
            {% if q.keeps_product %}ns::flag<{{q.id}}>() = 1;{% endif %}
            {% if q.events %}{{event_products(q)}}.weights_changed();{% endif %}
        }
        {% endif %}
        }
        {% endfor %}
        {% for p in populations if p.rule %}
        {{rule_step(p.rule, p.rule.open)}}
        {% endfor %}
        {% for p in populations if not p.rule %}
        ns::outer_bias<{{K * p.n // p.n_biases}}, {{p.n_biases}}, {{real}}>(
            {{array('b_' + p.name)}}, {{array(p.plasticity_delta)}}, 1,
            {{array('step_length')}}[0] / {{array('tau_w_' + p.bias)}}[0] / {{K}});
        {% endfor %}
    } else {
        {% for owner in projections + populations if owner.rule and owner.rule.closed %}
        {{rule_step(owner.rule, owner.rule.closed)}}
        {% endfor %}
    }
{% endmacro %}

{# The modulators of this step. #}
{% macro broadcast() %}
    {% for m in modulators %}
    {
        static const double* _values = (const double*)ns::mapped("{{m.file}}");
        const int64_t _number =
            ({{array('step')}}[0] - {{array('modulator_first')}}[0])
            / {{array('modulator_steps')}}[0];
        {% for variable in m.variables %}
        {{array(variable)}}[0] = _values[_number];
        {% endfor %}
    }
    {% endfor %}
{% endmacro %}

{# One step of a user-written rule: sums over the patterns, then statements on the synapses. #}
{% macro rule_step(r, steps) %}
    {{all_statements(r.factors)}}
    {% for s in r.sums %}
    {{rule_sum(r, s)}}
    {% endfor %}
    {% for step in steps %}
    {% if step.direct %}
    std::fill({{array(step.direct)}}, {{array(step.direct)}} + {{r.size}}, 0);
    for (int _k = 0; _k < {{K}}; _k++) {
        {% for here, there, end in step.places %}
        {
            const {{real}}* _values =
                {{array(there)}} + (size_t)_k * {{r.m if end == 'post' else r.n}};
            {{at_synapses(r, array(here), '_values', end)}}
        }
        {% endfor %}
        {{all_statements(step.kind)}}
    }
    {% else %}
    {{all_statements(step.kind)}}
    {% endif %}
    {% endfor %}
{% endmacro %}

{# The sum over the patterns of f g; where one of them is 1, of the other alone. #}
{% macro rule_sum(r, s) %}
    {% if s.post and s.pre and r.shared %}
    {{shared_outer(r.shared, r.group, array(s.array), array(s.post) ~ ', ' ~ array(s.pre), 0, 1)}}
    {% elif r.shared %}
    {% set c = r.shared %}
    {
        {% set units = r.m if s.post else r.n %}
        {{real}}* _sum = ns::total_of_patterns<{{K}}, {{units}}>({{array(s.post or s.pre)}});
        ns::shared_spread<{{c.pre_sites}}, {{c.post_sites}}, {{c.terms}}, {{c.post}}, {{c.pre}},
            {{c.ahead.first | lower}}, {{'true' if s.post else 'false'}}, {{real}}>(
            {{array(s.array)}}, {{table(r.group, 'outer')}}, _sum);
    }
    {% elif s.post and s.pre and r.sparse %}
    ns::outer_rows<{{K}}, {{r.m}}, {{r.n}}, {{real}}>(
        {{array(s.array)}}, {{array('row_' + r.group)}}, {{array('col_' + r.group)}},
        {{array(s.post)}}, {{array(s.pre)}}, 0, 1);
    {% elif s.post and s.pre %}
    ns::outer<{{K}}, {{r.m}}, {{r.n}}, {{real}}>(
        {{array(s.array)}}, {{array(s.post)}}, {{array(s.pre)}}, 0, 1);
    {% else %}
    {
        {% set units, end = (r.m // r.sites, 'post') if s.post else (r.n, 'pre') %}
        {{real}}* _sum = ns::total_of_patterns<{{K * r.sites}}, {{units}}>({{array(s.post or s.pre)}});
        {{at_synapses(r, array(s.array), '_sum', end)}}
    }
    {% endif %}
{% endmacro %}

{# The value of one end's unit, at each of its synapses. #}
{% macro at_synapses(r, here, values, end) %}
    for (int _i = 0, _s = 0; _i < {{r.m // r.sites}}; _i++)
        {% if r.sparse %}
        for (_s = {{array('row_' + r.group)}}[_i]; _s < {{array('row_' + r.group)}}[_i + 1]; _s++)
            {{here}}[_s] = {{values}}[{{'_i' if end == 'post' else array('col_' + r.group) + '[_s]'}}];
        {% else %}
        for (int _j = 0; _j < {{r.n}}; _j++, _s++)
            {{here}}[_s] = {{values}}[{{'_i' if end == 'post' else '_j'}}];
        {% endif %}
{% endmacro %}

{# The change of W x by one step of W; the messages are summed for W itself, see `materialize`. #}
{% macro defer_changes(q) %}
            {% set delta = array(q.plasticity_delta) %}
            ns::blend<{{real}}>({{K * q.m}}, _keep, 1, {{delta}}, {{deferred_messages(q)}});
            {% if not q.drives_alone %}
            ns::learn_drive<{{K}}, {{q.m}}>(
                {{gram(q)}}, {{delta}}, _keep, _rate / {{K}}, {{kept_drive(q)}});
            {% endif %}
            ns::scale<{{q.id}}>() *= _keep;
            ns::flag<{{q.id + 1}}>() = 0;
{% endmacro %}

{# result = keep result + rate delta x^T, summed over the patterns. #}
{% macro outer(q, result, keep, rate) %}
    {% set messages = array(q.plasticity_delta) ~ ', ' ~ array(q.plasticity_x) %}
    {% if q.shared %}
    {{shared_outer(q.shared, q.name, result, messages, keep, rate)}}
    {% elif q.sparse %}
    ns::outer_rows<{{K}}, {{q.m}}, {{q.n}}, {{real}}>(
        {{result}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{messages}},
        {{keep}}, {{rate}});
    {% else %}
    ns::outer<{{K}}, {{q.m}}, {{q.n}}, {{real}}>({{result}}, {{messages}}, {{keep}}, {{rate}});
    {% endif %}
{% endmacro %}

{# The same of shared weights, summed over the sites, too. #}
{% macro shared_outer(s, group, result, messages, keep, rate) %}
    ns::shared_outer<{{K}}, {{s.pre_sites}}, {{s.post_sites}}, {{s.terms}}, {{s.post}}, {{s.pre}},
        {{s.ahead.first | lower}}, {{s.ahead.block if s.ahead.first else s.back.block}}, {{real}}>(
        {{result}}, {{table(group, 'outer')}}, {{messages}}, {{keep}}, {{rate}});
{% endmacro %}

{# After a step of the weights: proximal steps of penalties with a kink at 0 (weight by weight, then
   row by row, then column by column); then Dale's law. #}
{% macro proximal(q, rate) %}
    {% set w = array('w_' + q.name) %}
    ns::shrink<{{real}}>({{q.size}}, {{w}}, {{rate}} * {{array('l1_' + q.name)}}[0]);
    {% for side, penalty in (('rows', 'row_l1_'), ('columns', 'column_l1_')) %}
    {% if q.shared %}
    ns::shrink_features<{{q.shared.terms}}, {{q.shared.post}}, {{q.shared.pre}},
        {{(side == 'rows') | lower}}, {{real}}>(
        {{w}}, {{rate}} * {{array(penalty + q.name)}}[0]);
    {% elif q.sparse %}
    ns::shrink_sparse_{{side}}<{{q.m}}, {{q.n}}, {{real}}>(
        {{w}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}},
        {{rate}} * {{array(penalty + q.name)}}[0]);
    {% else %}
    ns::shrink_{{side}}<{{q.m}}, {{q.n}}, {{real}}>(
        {{w}}, {{rate}} * {{array(penalty + q.name)}}[0]);
    {% endif %}
    {% endfor %}
    {% if dale and q.sparse %}
    ns::keep_sign_sparse<{{q.m}}, {{real}}>(
        {{w}}, {{array('row_' + q.name)}}, {{array('col_' + q.name)}}, {{array('sign_' + q.name)}});
    {% elif dale %}
    ns::keep_sign<{{q.m}}, {{q.n}}, {{real}}>({{w}}, {{array('sign_' + q.name)}});
    {% endif %}
{% endmacro %}

{# The step of feedback weights that accompanies that of the weights. #}
{% macro move_feedback_weights(q) %}
    {% if q.feedback_learns %}
    {{outer(q, array(q.feedback_weights), '_keep', '_rate / ' ~ K)}}
    {% endif %}
    {{follow_signs(q)}}
{% endmacro %}
{% macro follow_signs(q) %}
    {% if q.feedback_follows_signs %}
    ns::signs<{{real}}>(
        {{q.size}}, {{array('w_' + q.name)}}, {{array('back_size_' + q.name)}}[0],
        {{array(q.feedback_weights)}});
    {% endif %}
{% endmacro %}

{# Brings deferred weights up to date. #}
{% macro materialize() %}
    {% for q in projections if q.defers_changes %}
    if (!ns::flag<{{q.id + 1}}>()) {
        {{add_deferred(q, array('w_' + q.name))}}
        std::memset({{deferred_messages(q)}}, 0, {{K * q.m}} * sizeof({{real}}));
        ns::scale<{{q.id}}>() = 1;
        ns::flag<{{q.id + 1}}>() = 1;
    }
    {% endfor %}
{% endmacro %}

{# Adds deferred changes to weights, or to a copy of them. #}
{% macro add_deferred(q, weights) %}
        ns::outer<{{K}}, {{q.m}}, {{q.n}}, {{real}}>(
            {{weights}}, {{deferred_messages(q)}}, {{array('x_' + q.pre)}}, ns::scale<{{q.id}}>(),
            {{array('step_length')}}[0] / {{array('tau_w_' + q.name)}}[0] / {{K}});
{% endmacro %}

{# Copies recorded weights, and brings the copies up to date: a sample must not touch the state. #}
{% macro copy_weights() %}
    {% for q in projections if q.copy and not q.learns_on_way_back %}
    {
        {{real}}* _copy = {{array(q.copy)}};
        std::memcpy(_copy, {{array('w_' + q.name)}}, {{q.size}} * sizeof({{real}}));
        {% if q.defers_changes %}
        if (!ns::flag<{{q.id + 1}}>()) {
            {{add_deferred(q, '_copy')}}
        }
        {% endif %}
        {% if q.collects_changes %}
        {{collected_changes(q)}}.add_to(_copy);
        {% endif %}
        {% if q.exact_plasticity %}
        {{event_products(q)}}.add_integrals(
            _copy, {{array(q.received_x)}}, {{array(q.received_delta)}});
        {% endif %}
    }
    {% endfor %}
{% endmacro %}

{# At the first step of a process: goes on from the memory that the last one left. #}
{% macro restore() %}
    {{resume_settling()}}
    if ({{array('ticks')}}[0] == 0) {
        {% for q in projections if q.collects_changes %}
        {{collected_changes(q)}}.restore({{array('memory_' + q.name)}}, {{array('w_' + q.name)}});
        {% endfor %}
        {% for q in projections if q.events %}
        {{event_products(q)}}.restore({{array('memory_' + q.name)}}, {{array('w_' + q.name)}});
        {% endfor %}
    }
{% endmacro %}

{# After the last step of a process: leaves its memory, and weights that are up to date. #}
{% macro save() %}
    {{restore_order()}}
    {{materialize()}}
    {% for q in projections if q.collects_changes %}
    {{collected_changes(q)}}.save({{array('memory_' + q.name)}}, {{array('w_' + q.name)}});
    {% endfor %}
    {% for q in projections if q.events %}
    {{event_products(q)}}.save(
        {{array('memory_' + q.name)}}, {{array('w_' + q.name)}}, {{array(q.received_x)}},
        {{array(q.received_delta)}});
    {% endfor %}
{% endmacro %}

{# --- States ---------------------------------------------------------------------------------- #}

{# A step of all states by the messages. A direct population forgets its states first: then they
   follow from the messages without rounding, and repeat bit for bit. lam moves before x, whose old
   value it reads. #}
{% macro move_states() %}
    {% if not tracks %}
    {{all_statements('update')}}
    {% endif %}
    {% for p in populations if tracks %}
    {
        ns::Versions& _v = ns::versions<{{p.number}}>();
        {% if p.may_be_direct %}
        if ({{array('direct')}}[{{p.number - 1}}]) {
            {% if not alternates %}
            if ({{due(p, 'lam', sources_of_state(p), true)}}) {
                {{forget('lam', p)}}
                {{statements_of('update_lam', p)}}
            }
            {% endif %}
            if ({{due(p, 'x', '_v.a', true)}}) {
                {{forget('x', p)}}
                {{statements_of('update' if alternates else 'update_x', p)}}
            }
        } else
        {% endif %}
        if (ns::differ(_v.x_of, {{sources_of_state(p)}} + _v.lam)) {
            {{watched(p, 'update', ('x',) if alternates else ('x', 'lam'))}}
        }
    }
    {% endfor %}
{% endmacro %}

{# A step that is extrapolated to the state at rest, see ns_anderson.h. #}
{% macro accelerated_step() %}
    {
    {% set own = namespace(size=0, from=0) %}
    {% for p in populations %}{% set own.size = own.size + 2 * p.n %}{% endfor %}
    auto& _anderson = ns::anderson<{{real}}, {{K}}, {{own.size}}, {{anderson[0]}}>();
    {{each_state('_anderson.before')}}
    {{move_states()}}
    {{each_state('_anderson.after')}}
    _anderson.extrapolate({{anderson[1]}});
    {{each_state('_anderson.write')}}
    }
{% endmacro %}

{# Calls a function with the array of each state, its units, and its place among all. #}
{% macro each_state(function) %}
    {% set own = namespace(from=0) %}
    {% for p in populations %}
    {% for v in ('x', 'lam') %}
    {{function}}({{array(v + '_' + p.name)}}, {{p.n}}, {{own.from}});
    {% set own.from = own.from + p.n %}
    {% endfor %}
    {% endfor %}
{% endmacro %}

{# A step of the multipliers, by the violation of the new outputs. #}
{% macro move_multipliers() %}
    {% if not tracks %}
    {{all_statements('multipliers')}}
    {% endif %}
    {% for p in populations if tracks %}
    {
        ns::Versions& _v = ns::versions<{{p.number}}>();
        {% if p.may_be_direct %}
        if ({{array('direct')}}[{{p.number - 1}}]) {
            if ({{due(p, 'lam', sources_of_state(p), true)}}) {
                {{forget('lam', p)}}
                {{statements_of('multipliers', p)}}
            }
        } else
        {% endif %}
        if (ns::differ(_v.lam_of, {{sources_of_state(p)}} + _v.lam)) {
            {{watched(p, 'multipliers', ('lam',))}}
        }
    }
    {% endfor %}
{% endmacro %}

{% macro forget(variable, p) %}
std::memset({{array(variable ~ '_' ~ p.name)}}, 0, {{p.n * K}} * sizeof({{real}}));
{%- endmacro %}

{# Statements that move states, whose versions grow only if an entry changes. #}
{% macro watched(p, kind, states) %}
            {% for state in states %}
            auto& _watch_{{state}} = ns::watch<{{10 * p.number + loop.index}}, {{real}}, {{p.n * K}}>();
            _watch_{{state}}.begin({{array(state ~ '_' ~ p.name)}});
            {% endfor %}
            {{statements_of(kind, p)}}
            {% for state in states %}
            if (_watch_{{state}}.changed({{array(state ~ '_' ~ p.name)}})) _v.{{state}}++;
            {% endfor %}
{% endmacro %}

{# --- Rates of change and rest --------------------------------------------------------------- #}

{# Evaluates the right-hand sides of all state variables at the current state. #}
{% macro derivatives() %}
    {{all_statements('rates')}}
    {{array('evaluations')}}[0] += 1;
{% endmacro %}

{# The array that holds the right-hand side of one state variable. #}
{% macro rate_of(s) %}
{% if s.projection or s.biases_of %}ns::buffer<{{real}}, {{1002 + 3 * s.id}}, {{s.n}}>()
{%- else %}{{array('rate_' + s.variable)}}{% endif %}
{% endmacro %}

{# Batch of points: ends the points that have settled. Declares `_some_ended` (at this step) and
   `_all_ended`. #}
{% macro end_settled_points() %}
    {% set residuals, ending = array('residuals'), array('ending') %}
    std::fill({{residuals}}, {{residuals}} + {{points}}, 0.0);
    {% for p in populations %}
    {% for v in ('x', 'lam') %}
    ns::residuals<{{points}}, {{p.n * K // points}}>(
        {{array('rate_' + v + '_' + p.name)}}, {{array('tau_' + v + '_' + p.name)}}, {{residuals}});
    {% endfor %}
    {% endfor %}
    const bool _some_ended = ns::settle<{{points}}>(
        {{residuals}}, {{array('settle')}}[0], {{array('step')}}[0], {{ending}},
        {{array('ended_at')}});
    {{hold_ended_points()}}
    const bool _all_ended = ns::all_ended<{{points}}>({{ending}});
{% endmacro %}

{# Batch of points: holds the state of the points that have ended. #}
{% macro hold_ended_points() %}
    if (_some_ended) {
        {% for p in populations %}
        {% for gain in ('kappa', 'gamma') %}
        ns::hold<{{points}}, {{p.n * K // points}}>(
            {{array('ending')}}, {{array(gain + '_' + p.name)}});
        {% endfor %}
        {% endfor %}
    }
{% endmacro %}

{# Lets the patterns that rest leave the step; ends the run where all do. #}
{% macro end_settled_patterns() %}
    {
        auto& _settling = ns::settling<{{K}}>();
        int64_t& _active = {{array('active')}}[0];
        _settling.begin();
        {% for p in populations if not p.free %}
        {% for v in ('x', 'lam') %}
        _settling.look<{{p.n}}>(
            {{array('rate_' + v + '_' + p.name)}}, {{array('tau_' + v + '_' + p.name)}}[0],
            {{array('settle')}}[0], _active);
        {% endfor %}
        {% endfor %}
        _active = _settling.settle({{array('step')}}[0], _active, {{array('settled_at')}});
        if (_active == 0) { {{array('settled')}}[0] = 1; return; }
        {{exchange_rows()}}
    }
{% endmacro %}

{# Exchanges the rows of all that is kept of each pattern. #}
{% macro exchange_rows() %}
        {% for name, n in of_patterns %}
        _settling.exchange<{{n}}>({{array(name)}});
        {% endfor %}
        {% for q in projections if q.keeps_product and not q.drives_alone %}
        _settling.exchange<{{q.m}}>({{kept_drive(q)}});
        {% endfor %}
{% endmacro %}

{# At the first step of a process: leaves out the patterns that settled in earlier ones. Products that
   are kept are of all patterns, as in the first process. #}
{% macro resume_settling() %}
    {% if settles_each %}
    if ({{array('ticks')}}[0] == 0) {
        auto& _settling = ns::settling<{{K}}>();
        {{array('active')}}[0] = {{K}};
        {{kept_drives()}}
        {{inputs_of(populations | selectattr('may_rest') | list, false)}}
        {{array('active')}}[0] = _settling.resume({{array('settled_at')}});
        {{exchange_rows()}}
    }
    {% endif %}
{% endmacro %}

{# After the last step of a process: brings the patterns back into the order of the data. #}
{% macro restore_order() %}
    {% if settles_each %}
    {
        auto& _settling = ns::settling<{{K}}>();
        _settling.restore();
        {{exchange_rows()}}
    }
    {% endif %}
{% endmacro %}

{# max |tau dz/dt| over outputs and multipliers. Declares `_residual`. #}
{% macro residual() %}
    double _residual = 0;
    {% for p in populations if not p.free %}
    {% for v in ('x', 'lam') %}
    {% set rate, tau = array('rate_' + v + '_' + p.name), array('tau_' + v + '_' + p.name) %}
    {% if own_times %}
    _residual = std::max(_residual, ns::largest({{rate}}, {{tau}}, {{p.n * K}}));
    {% else %}
    _residual = std::max(_residual, ns::largest({{rate}}, {{p.n * K}}) * {{tau}}[0]);
    {% endif %}
    {% endfor %}
    {% endfor %}
    {{array('residual')}}[0] = _residual;
{% endmacro %}
