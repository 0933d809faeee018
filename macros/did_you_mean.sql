{#
The choice that is most similar to a misspelled text, as a hint in parentheses. Similarity is the share of letter pairs that both
texts contain. Empty if no choice reaches `likeness`.
#}
{% macro did_you_mean(text, choices, likeness=0.5) %}
    {% set best = namespace(choice="", likeness=likeness) %}
    {% set pairs = [] %}
    {% for start in range(text | length - 1) %} {% do pairs.append(text[start : start + 2] | lower) %} {% endfor %}
    {% for choice in choices %}
        {% set shared = [] %}
        {% for start in range(choice | length - 1) if choice[start : start + 2] | lower in pairs %}
            {% do shared.append(start) %}
        {% endfor %}
        {% set found = 2 * shared | length / (pairs | length + choice | length - 1) %}
        {% if found >= best.likeness %} {% set best.choice, best.likeness = choice, found %} {% endif %}
    {% endfor %}
    {% do return(" (did you mean " ~ best.choice ~ "?)" if best.choice else "") %}
{% endmacro %}
