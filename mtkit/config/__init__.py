"""Settings and nothing but settings: typed models, strict YAML with line numbers, --set, explain, JSON Schema."""
